/// Queues by number, and the numbers of what is found on disk.
enum Names {
    static let queues = 5
    /// Given to `ack:auto`: what is in it may be lost with a connection.
    static let loose = 4
    static let topics = 2
    /// Durable subscriptions follow the queues.
    static func durable(_ number: Int) -> Int { queues + number }

    static func family(_ family: Int) -> String {
        family < queues ? "/queue/q\(family)" : "/dsub/d\(family - queues)"
    }

    static func deadLetters(_ family: Int) -> String {
        family < queues ? "/queue/q\(family).dlq" : "/queue/dsub.d\(family - queues).dlq"
    }

    static func topic(_ number: Int) -> String { "/topic/t\(number)" }

    /// The family of a stored queue by its name: lanes and the queue for dead letters belong to their queue.
    static func family(of name: [UInt8]) -> Int? {
        var name = name[...]
        if let lane = name.firstIndex(of: 1) { name = name[..<lane] }
        if name.suffix(4).elementsEqual(".dlq".utf8) { name.removeLast(4) }
        for (prefix, base) in [("/queue/dsub.d", queues), ("/dsub/d", queues), ("/queue/q", 0)]
        where name.starts(with: prefix.utf8) {
            guard let number = Int(String(decoding: name.dropFirst(prefix.utf8.count), as: UTF8.self)) else {
                return nil
            }
            return base + number
        }
        return nil
    }
}
