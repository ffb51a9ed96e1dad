import Base
import Foundation
import Glibc
import Synchronization

/// Carries bytes between clients and a broker as bad networks do: late, in pieces, not at all for a while, and with
/// connections that end in the middle, in all the ways in which they can. Calm until it is told otherwise. What it does to
/// each connection is drawn from a seed.
final class BadNetwork: Sendable {
    let port: UInt16
    private let listener: Int32
    private let sky: Sky

    /// What lines share with their network, which may go before them.
    final class Sky: Sendable {
        let weather: Weather
        private let broker: Mutex<UInt16?>
        private let isRaging = Atomic(false)

        init(_ weather: Weather, _ broker: UInt16) {
            self.weather = weather
            self.broker = Mutex(broker)
        }

        var isStormy: Bool {
            get { isRaging.load(ordering: .relaxed) }
            set { isRaging.store(newValue, ordering: .relaxed) }
        }

        func setTarget(_ port: UInt16?) { broker.withLock { $0 = port } }

        /// False: there is no broker.
        func connect(_ socket: Int32) -> Bool {
            broker.withLock { port in
                guard let port else { return false }
                var address = Loopback.address(port)
                return Loopback.withRaw(&address) {
                    Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
        }

        /// Sleeps for so long, or until the storm is over.
        func wait(milliseconds: Int) {
            for _ in 0..<(milliseconds / 10) where isStormy { usleep(10_000) }
        }
    }

    init(to target: UInt16, _ weather: Weather) throws {
        sky = Sky(weather, target)
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        listener = socket(AF_INET, Int32(kind), 0)
        var address = Loopback.address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isBound = Loopback.withRaw(&address) {
            bind(listener, $0, length) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &length) == 0
        }
        guard isBound else { throw Problem.system("bind") }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [sky] in
            var number: UInt64 = 0
            // Ends when the listener is shut down.
            while case let client = Self.accept(from: listener), client >= 0 {
                number += 1
                Line.open(client, number, sky)
            }
            close(listener)
        }
    }

    /// Other tests start processes meanwhile, which must not get it.
    private static func accept(from listener: Int32) -> Int32 {
        while true {
            var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            while poll(&waiting, 1, -1) < 0, errno == EINTR {}
            let (client, error) = Child.starting.withLock { _ in
                let client = Glibc.accept(listener, nil, nil)
                let error = errno
                if client >= 0 { _ = fcntl(client, F_SETFD, FD_CLOEXEC) }
                return (client, error)
            }
            // One may have gone before it was taken.
            if client >= 0 || ![EAGAIN, ECONNABORTED, EINTR].contains(error) { return client }
        }
    }

    deinit {
        sky.isStormy = false
        shutdown(listener, Int32(SHUT_RDWR))
    }

    func setStormy(_ isStormy: Bool) { sky.isStormy = isStormy }

    /// The broker is elsewhere now, or nowhere. Say so before it ends: its port may be another broker's a moment later, and
    /// that one would get what is meant for this one.
    func setTarget(_ port: UInt16?) { sky.setTarget(port) }
}

/// How bad a network is.
struct Weather: Sendable {
    let seed: UInt64
    /// Milliseconds that each piece is late by, at least and at most.
    var delay = 0...20
    /// Of a hundred pieces so many are late.
    var late = 15
    /// Bytes carried at once, at most.
    var piece = 2_000
    /// Of a thousand pieces so many are followed by each of these.
    var ends = 15
    var halfCloses = 3
    var swallows = 6
    var blackHoles = 3
    var stalls = 5
    /// Milliseconds, at most, until somebody is told of what was swallowed, and that nothing is carried.
    var silence = 1_500
    /// Of a hundred new connections so many end at once, and so many never get an answer.
    var refuses = 4
    var ignores = 2

    init(seed: UInt64) { self.seed = seed }
}

/// Both sockets of one connection. They are closed when nobody uses them any more.
private final class Line: Sendable {
    private let ends: (Int32, Int32)
    private let sky: BadNetwork.Sky
    /// Nothing is carried any more, and nobody is told.
    private let isHole = Atomic(false)

    private init(_ client: Int32, _ broker: Int32, _ sky: BadNetwork.Sky) {
        ends = (client, broker)
        self.sky = sky
    }

    deinit {
        close(ends.0)
        close(ends.1)
    }

    static func open(_ client: Int32, _ number: UInt64, _ sky: BadNetwork.Sky) {
        let seed = sky.weather.seed &* 1_000_003 &+ number
        var dice = SplitMix64(seed: seed &* 3)
        let broker = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        let line = Line(client, broker, sky)
        let fate = sky.isStormy ? dice.below(100) : 100
        // Otherwise both go with the line.
        if fate < sky.weather.refuses {
            line.cut(reset: fate % 2 == 0)
            return
        }
        if fate < sky.weather.refuses + sky.weather.ignores {
            let milliseconds = dice.below(sky.weather.silence)
            return Thread.detachNewThread {
                sky.wait(milliseconds: milliseconds)
                line.cut(reset: fate % 2 == 0)
            }
        }
        guard sky.connect(broker) else { return }
        for (index, ends) in [(client, broker), (broker, client)].enumerated() {
            Thread.detachNewThread {
                line.carry(ends.0, ends.1, SplitMix64(seed: seed &* 3 &+ UInt64(index) &+ 1))
            }
        }
    }

    /// One way, until that is over.
    private func carry(_ source: Int32, _ sink: Int32, _ dice: SplitMix64) {
        var dice = dice
        while pass(source, sink, &dice) {}
    }

    /// Carries what comes next. False: that was all.
    private func pass(_ source: Int32, _ sink: Int32, _ dice: inout SplitMix64) -> Bool {
        let weather = sky.weather
        var buffer = [UInt8](repeating: 0, count: sky.isStormy ? 1 + dice.below(weather.piece) : 65_536)
        let count = read(source, &buffer, buffer.count)
        if isHole.load(ordering: .relaxed) { return fallSilent(&dice) }
        guard count > 0 else { return cut(reset: dice.below(2) == 0) }
        guard sky.isStormy else { return write(buffer[..<count], sink) || cut(reset: true) }
        if dice.below(100) < weather.late {
            let (least, most) = (weather.delay.lowerBound, weather.delay.upperBound)
            usleep(UInt32(1_000 * (least + dice.below(most - least + 1))))
        }
        return trouble(buffer[..<count], sink, &dice)
    }

    private func trouble(_ bytes: ArraySlice<UInt8>, _ sink: Int32, _ dice: inout SplitMix64) -> Bool {
        let weather = sky.weather
        var fate = dice.below(1_000)
        func isNext(_ share: Int) -> Bool {
            fate -= share
            return fate < 0
        }
        if isNext(weather.ends) {
            // Some of it may have got through.
            if dice.below(2) == 0 { _ = write(bytes.prefix(dice.below(bytes.count)), sink) }
            return cut(reset: dice.below(2) == 0)
        }
        if isNext(weather.swallows) { return fallSilent(&dice) }
        if isNext(weather.blackHoles) {
            isHole.store(true, ordering: .relaxed)
            return fallSilent(&dice)
        }
        guard write(bytes, sink) else { return cut(reset: true) }
        if isNext(weather.halfCloses) {
            shutdown(sink, Int32(SHUT_WR))
            return false
        }
        if isNext(weather.stalls) { sky.wait(milliseconds: dice.below(weather.silence / 3)) }
        return true
    }

    private func write(_ bytes: ArraySlice<UInt8>, _ sink: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { send(sink, $0.baseAddress, $0.count, 0x4000) }
            guard written > 0 else { return false }
            rest = rest.dropFirst(written)
        }
        return true
    }

    /// The bytes at hand are gone, and nobody hears of it for a while.
    private func fallSilent(_ dice: inout SplitMix64) -> Bool {
        sky.wait(milliseconds: dice.below(sky.weather.silence))
        return cut(reset: dice.below(2) == 0)
    }

    /// By RST: reading ends here, and closing tells the others. Otherwise by FIN.
    @discardableResult
    private func cut(reset: Bool) -> Bool {
        for end in [ends.0, ends.1] {
            if reset {
                var option = linger(l_onoff: 1, l_linger: 0)
                setsockopt(end, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
                shutdown(end, Int32(SHUT_RD))
            } else {
                shutdown(end, Int32(SHUT_RDWR))
            }
        }
        return false
    }
}

/// Addresses of this machine.
private enum Loopback {
    static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    static func withRaw<R>(_ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> R) -> R {
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) }
        }
    }
}
