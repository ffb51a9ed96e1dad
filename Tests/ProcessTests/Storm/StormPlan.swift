import Base
import BrokerClient

/// What a seed decides about a storm: the network, the broker's ends, the clients, and what they are used for.
struct StormPlan: Sendable, CustomStringConvertible {
    let seed: UInt64
    let weather: Weather
    let length: Duration
    /// When the broker is killed, and for how long it is away then. In order.
    let kills: [(at: Duration, for: Duration)]
    /// It is asked to end before the last look, instead of being killed.
    let endsPolitely: Bool
    let styles: [any StormStyle.Type]
    let heartBeat: Duration
    let window: Int
    let requestsInFlight: Int
    let failsWhenBusy: Bool
    let hasBreakers: Bool

    /// `only`: this style alone, in the same weather.
    init(seed: UInt64, only style: (any StormStyle.Type)? = nil) {
        var dice = SplitMix64(seed: seed)
        self.seed = seed
        var weather = Weather(seed: seed)
        // Mild, as usual, and hardly anything gets through.
        let badness = [0, 1, 1, 2, 4][dice.below(5)]
        weather.ends *= badness
        weather.halfCloses *= badness
        weather.swallows *= badness
        weather.blackHoles *= badness
        weather.stalls *= badness
        weather.late = [5, 15, 60][dice.below(3)]
        weather.delay = 0...[5, 20, 60][dice.below(3)]
        weather.piece = [100, 2_000, 60_000][dice.below(3)]
        weather.silence = [200, 700, 1_500][dice.below(3)]
        weather.refuses = [0, 4, 20][dice.below(3)]
        weather.ignores = [0, 2, 10][dice.below(3)]
        self.weather = weather
        length = .milliseconds(600 + dice.below(1_200))
        var at = 0
        kills = (0..<[0, 0, 1, 1, 2][dice.below(5)]).map { _ in
            at += 100 + dice.below(500)
            return (.milliseconds(at), .milliseconds(dice.below(300)))
        }
        endsPolitely = dice.below(2) == 0
        var styles: [any StormStyle.Type] = []
        for style in allStormStyles where dice.below(2) == 0 { styles.append(style) }
        if styles.isEmpty { styles = [allStormStyles[dice.below(allStormStyles.count)]] }
        self.styles = style.map { [$0] } ?? styles
        heartBeat = .milliseconds([0, 300, 1_000][dice.below(3)])
        window = [1, 4, 10_000][dice.below(3)]
        requestsInFlight = [1, 8, 1_000][dice.below(3)]
        failsWhenBusy = dice.below(4) == 0
        hasBreakers = dice.below(3) == 0
    }

    /// Of those who call.
    var callerOptions: ClientOptions {
        var options = workerOptions
        options.unconfirmedMessages = window
        options.requestsInFlight = requestsInFlight
        options.whenRequestsAreMany = failsWhenBusy ? .fail : .wait
        if hasBreakers {
            var breaker = CircuitBreakerOptions()
            breaker.consecutiveFailures = 3
            breaker.openFor = .milliseconds(150)
            options.circuitBreaker = breaker
        }
        return options
    }

    var workerOptions: ClientOptions {
        var options = ClientOptions()
        options.reconnect = .exponential(first: .milliseconds(5), longest: .milliseconds(100))
        options.connectTimeout = .milliseconds(1_000)
        options.heartBeat = HeartBeatOptions(sends: heartBeat, wants: heartBeat)
        return options
    }

    var description: String {
        "seed \(seed): \(length) with \(styles.map { "\($0)" }.joined(separator: ", ")); kills \(kills), polite \(endsPolitely), "
            + "heart-beat \(heartBeat), window \(window), requests \(requestsInFlight)\(failsWhenBusy ? " or fail" : ""), "
            + "breakers \(hasBreakers); \(weather)"
    }
}

/// One way of talking, and what is promised of it.
protocol StormStyle: Sendable {
    /// In calm weather: whoever works is there.
    init(_ storm: Storm) async throws
    /// Calls until the storm is over.
    func rage() async throws
    /// In calm weather again: what was promised comes. Ends those who work.
    func settle() async throws
    /// The broker is alone now: what is in its queues?
    func judge(_ broker: BrokerProcess) async throws
}

let allStormStyles: [any StormStyle.Type] = [
    SendingStyle.self, AskingStyle.self, LaterStyle.self, DurableStyle.self, GatheringStyle.self, GroupStyle.self,
    PipeStyle.self, OnceInMemoryStyle.self, OnceInSQLiteStyle.self, TransactionStyle.self, ComingAndGoingStyle.self,
    BatchStyle.self,
]
