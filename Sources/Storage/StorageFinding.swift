/// Damage to what is stored, found by looking before anybody needed it.
public struct StorageFinding: Sendable, Equatable, CustomStringConvertible {
    /// Relative to the data directory.
    public var file: String
    public var offset: UInt64
    /// Names of the queues that it concerns, as far as they are known.
    public var queues: [[UInt8]]
    /// What is wrong.
    public var problem: String
    /// What is lost if nothing is done.
    public var loss: String
    /// What to do.
    public var remedy: String

    public init(
        file: String, offset: UInt64, queues: [[UInt8]] = [], problem: String, loss: String, remedy: String
    ) {
        self.file = file
        self.offset = offset
        self.queues = queues
        self.problem = problem
        self.loss = loss
        self.remedy = remedy
    }

    public var description: String { "\(file), offset \(offset): \(problem); \(loss); \(remedy)" }
}
