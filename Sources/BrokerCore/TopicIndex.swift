/// Who listens to which topics: numbers by topic name or pattern, whatever the numbers stand for.
struct TopicIndex: Sendable {
    private struct Listeners: Sendable {
        let pattern: TopicPattern
        var numbers: [Int32] = []
    }

    private var exact: [[UInt8]: [Int32]] = [:]
    private var patterns: [[UInt8]: Listeners] = [:]

    var isEmpty: Bool { exact.isEmpty && patterns.isEmpty }
    var patternCount: Int { patterns.count }

    mutating func add(_ number: Int32, to topic: [UInt8]) throws(Refusal) {
        let pattern = try TopicPattern(topic)
        if pattern.hasWildcard {
            patterns[topic, default: Listeners(pattern: pattern)].numbers.append(number)
        } else {
            exact[topic, default: []].append(number)
        }
    }

    mutating func remove(_ number: Int32, from topic: [UInt8]) {
        exact[topic]?.removeAll { $0 == number }
        if exact[topic]?.isEmpty ?? false { exact[topic] = nil }
        patterns[topic]?.numbers.removeAll { $0 == number }
        if patterns[topic]?.numbers.isEmpty ?? false { patterns[topic] = nil }
    }

    /// Somebody listens to just this name.
    func hasListener(named topic: [UInt8]) -> Bool { exact[topic] != nil }

    /// All who listen to a topic, in no order.
    func matches(_ topic: [UInt8]) -> [Int32] {
        var matches = exact[topic] ?? []
        if patterns.isEmpty { return matches }
        let words = TopicPattern.split(topic)
        for listeners in patterns.values where listeners.pattern.matches(words) { matches += listeners.numbers }
        return matches
    }
}
