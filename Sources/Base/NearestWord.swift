/// The word of `known` that is closest to `word` by letters changed, swapped, left out or added;
/// nil when none is close enough to be meant.
public func nearestWord(to word: String, among known: [String]) -> String? {
    let limit = max(2, word.utf8.count / 3)
    let best = known.map { (word: $0, distance: lettersApart(word, $0)) }.min { $0.distance < $1.distance }
    if let best, best.distance <= limit { return best.word }
    // A name without its section, or with a wrong one, is as common as a typo.
    let last = word.split(separator: ".").last.map(String.init) ?? word
    return known.first { $0.hasSuffix("." + last) }
}

/// Optimal string alignment distance (Levenshtein with swaps of neighbours), bytes counted. Words
/// of more than 100 bytes are like nothing.
private func lettersApart(_ a: String, _ b: String) -> Int {
    let a = Array(a.utf8)
    let b = Array(b.utf8)
    if a.count > 100 || b.count > 100 { return .max }
    var before: [Int] = []
    var above = Array(0...b.count)
    for i in 0..<a.count {
        var row = [i + 1]
        for j in 0..<b.count {
            var least = min(above[j + 1] + 1, row[j] + 1, above[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, before[j - 1] + 1) }
            row.append(least)
        }
        before = above
        above = row
    }
    return above[b.count]
}
