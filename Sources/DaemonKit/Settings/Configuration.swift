import BrokerCore
import Net

/// Everything that can be set, with the values it has when nobody sets it.
///
/// The ranges, the reasons and the names that people write are in the table `Settings`; a property
/// without a line in that table cannot be set, and a test refuses it. Units are part of each name.
public struct Configuration: Equatable, Sendable {
    /// Where STOMP clients connect.
    public var listen = [SocketAddress(.ipv4("127.0.0.1", port: 61613))]
    /// Where administrators connect. When empty, `adminAddresses` chooses.
    public var admin: [SocketAddress] = []
    /// The directory that holds everything durable.
    public var data = "./data"
    public var io = IO()
    public var limits = Limits()
    public var consumer = Consumer()
    public var topic = Topic()
    public var memory = Memory()
    public var heartBeat = HeartBeat()
    public var journal = Journal()
    public var queueFile = QueueFile()
    public var storage = Storage()
    public var disk = Disk()
    public var shutdown = Shutdown()
    public var log = Logging()
    public var stomp = Stomp()
    /// By name. Not in the table: the section `policies` holds what people name themselves.
    public var policies: [Policy] = []

    public init() {}

    public struct IO: Equatable, Sendable {
        /// 0: one for each core of the machine. See `Configuration.loopCount`.
        public var loops = 0
    }

    public struct Limits: Equatable, Sendable {
        public var connections = 10_000
        /// 0: no limit.
        public var connectionsPerAddress = 0
        /// 0: no limit.
        public var connectionsPerUser = 0
        public var loginSeconds = 10
        public var frameSeconds = 30
        public var headerLineBytes = 16 << 10
        public var headers = 128
        public var headBytes = 64 << 10
        public var bodyBytes = 16 << 20
        public var beforeLogin = BeforeLogin()
        public var subscriptionsPerConnection = 1000
        public var destinationsPerConnection = 1000
        public var transactionsPerConnection = 16
        /// 0: no limit.
        public var subscriptionsPerUser = 0
        public var transactionsPerUser = 0
        public var transactionBytes = 16 << 20
        public var transactionOperations = 10_000
        /// 0: no limit.
        public var transactionSeconds = 300
        public var queues = 100_000
        /// 0: no limit.
        public var sendsPerSecond = 0
        public var sendBytesPerSecond = 0
        public var sendsPerSecondPerUser = 0
        public var sendBytesPerSecondPerUser = 0
        public var sendsPerSecondPerAddress = 0
        public var sendBytesPerSecondPerAddress = 0
        /// 0: refused at once.
        public var holdSeconds = 10
    }

    public struct BeforeLogin: Equatable, Sendable {
        public var headerLineBytes = 8 << 10
        public var headers = 64
        public var headBytes = 16 << 10
        public var bodyBytes = 1 << 10
    }

    public struct Consumer: Equatable, Sendable {
        public var prefetchCount = 1000
        public var prefetchBytes = 1 << 20
        public var outboxBytes = 1 << 20
    }

    public struct Topic: Equatable, Sendable {
        public var subscriberBacklogBytes = 16 << 20
    }

    public struct Memory: Equatable, Sendable {
        public var messagesBytes = 48 << 20
    }

    public struct HeartBeat: Equatable, Sendable {
        /// 0: none offered and none asked for.
        public var serverMilliseconds = 10_000
        public var minimumMilliseconds = 100
        /// Of the agreed interval, added to it before a silent client is given up.
        public var tolerancePercent = 100
    }

    public struct Journal: Equatable, Sendable {
        public var segmentBytes = 64 << 20
        public var segments = 4
        public var segmentsMax = 24
    }

    public struct QueueFile: Equatable, Sendable {
        public var bytes = 32 << 20
    }

    public struct Disk: Equatable, Sendable {
        public var lowBytes = 256 << 20
        public var highBytes = 512 << 20
    }

    public struct Storage: Equatable, Sendable {
        /// 0: what is at rest is not read.
        public var scrubBytesPerSecond = 4 << 20
        public var scrubIntervalHours = 168
    }

    public struct Shutdown: Equatable, Sendable {
        public var graceSeconds = 5
    }

    public struct Logging: Equatable, Sendable {
        public var level = LogLevel.info
        public var format = LogFormat.auto
    }

    public struct Stomp: Equatable, Sendable {
        public var strictHost = false
        public var hosts: [String] = []
    }
}
