import Base
import Foundation
import Glibc
import Synchronization

/// Carries bytes between clients and a broker as bad networks do: late, in pieces, not at all for a while, and with
/// connections that end in the middle, in either way. Calm until it is told otherwise. What it does is drawn from a seed.
final class BadNetwork: Sendable {
    let port: UInt16
    private let listener: Int32
    private let target: UInt16
    private let seed: UInt64
    private let isStormy = Atomic(false)

    init(to target: UInt16, seed: UInt64) throws {
        self.target = target
        self.seed = seed
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = Self.loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isBound = Self.withRaw(&address) {
            bind(listener, $0, length) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &length) == 0
        }
        guard isBound else { throw Problem.system("bind") }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [seed] in
            var number: UInt64 = 0
            // Ends when the listener is shut down.
            while case let client = accept(listener, nil, nil), client >= 0 {
                number += 1
                // Other tests start brokers meanwhile, some of which may have few files.
                _ = fcntl(client, F_SETFD, FD_CLOEXEC)
                Self.carry(client, to: target, seed: seed &* 1_000_003 &+ number, while: { [weak self] in self })
            }
            close(listener)
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    func setStormy(_ isStormy: Bool) { self.isStormy.store(isStormy, ordering: .relaxed) }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    private static func withRaw<R>(_ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> R) -> R {
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) }
        }
    }

    private static func carry(
        _ client: Int32, to port: UInt16, seed: UInt64, while network: @escaping @Sendable () -> BadNetwork?
    ) {
        let broker = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = loopback(port)
        let isConnected = withRaw(&address) { connect(broker, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 }
        let line = Line(client, broker)
        // Otherwise both go with the line.
        guard isConnected else { return }
        for (index, ends) in [(client, broker), (broker, client)].enumerated() {
            Thread.detachNewThread {
                var dice = SplitMix64(seed: seed &* 2 &+ UInt64(index))
                while line.pass(ends.0, ends.1, &dice, isStormy: network()?.isStormy.load(ordering: .relaxed) ?? false)
                {}
                line.cut(reset: dice.below(2) == 0)
            }
        }
    }
}

/// Both sockets of one connection. They are closed when nobody uses them any more.
private final class Line: Sendable {
    private let ends: (Int32, Int32)

    init(_ client: Int32, _ broker: Int32) { ends = (client, broker) }

    deinit {
        close(ends.0)
        close(ends.1)
    }

    /// Carries what comes next. False: that was all.
    func pass(_ source: Int32, _ sink: Int32, _ dice: inout SplitMix64, isStormy: Bool) -> Bool {
        var buffer = [UInt8](repeating: 0, count: isStormy ? 1 + dice.below(2_000) : 65_536)
        let count = read(source, &buffer, buffer.count)
        guard count > 0 else { return false }
        if isStormy {
            switch dice.below(100) {
            case 0...1: return false
            case 2:
                // Swallowed, and nobody is told for a while.
                usleep(UInt32(dice.below(200_000)))
                return false
            case 3...15: usleep(UInt32(dice.below(20_000)))
            default: break
            }
        }
        var done = 0
        while done < count {
            let written = buffer[done..<count].withUnsafeBytes { send(sink, $0.baseAddress, $0.count, 0x4000) }
            guard written > 0 else { return false }
            done += written
        }
        return true
    }

    /// By RST: reading ends here, and closing tells the others. Otherwise by FIN.
    func cut(reset: Bool) {
        for end in [ends.0, ends.1] {
            if reset {
                var option = linger(l_onoff: 1, l_linger: 0)
                setsockopt(end, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
                shutdown(end, Int32(SHUT_RD))
            } else {
                shutdown(end, Int32(SHUT_RDWR))
            }
        }
    }
}
