import FoundationEssentials
import LogStorage
import Storage

/// `store dump`: what the files say, for people and for programs.
enum StoreDumpVerb {
    @Sendable static func dump(_ call: Invocation, _ console: Console) throws(CtlFailure) {
        let isJSON = call.wantsJSON
        try StoreVerbs.attempt { () throws(StorageFailure) in
            try StoreDump.run(
                directory: call.argument(0), queue: call.value("--queue"), withContents: call.isGiven("--bodies")
            ) { (line) throws(StorageFailure) in
                do throws(CtlFailure) {
                    if isJSON { try console.printJSON(try json(line)) } else { try console.print(text(line)) }
                } catch {
                    throw StorageFailure(error.message)
                }
            }
        }
    }

    /// `journal/00000001.seg append batch=7 queue=1 name="/queue/orders" sequence=3`
    static func text(_ line: StoreDump.Line) -> String {
        var words = [line.path, line.kind]
        for (name, value) in line.values {
            switch value {
            case .number(let number): words.append("\(name)=\(number)")
            case .flag(let flag): words.append("\(name)=\(flag ? "yes" : "no")")
            case .text(let text): words.append("\(name)=\(quoted(text))")
            case .bytes(let bytes): words.append("\(name)=\(quoted(String(decoding: bytes, as: UTF8.self)))")
            }
        }
        return words.map { harmless($0) }.joined(separator: " ")
    }

    private static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    static func json(_ line: StoreDump.Line) throws(CtlFailure) -> [UInt8] {
        var object: [String: Field] = ["kind": .text(line.kind), "path": .text(line.path)]
        for (name, value) in line.values {
            let key = name.replacing("-", with: "_")
            switch value {
            case .number(let number): object[key] = .number(number)
            case .flag(let flag): object[key] = .flag(flag)
            case .text(let text): object[key] = .text(text)
            case .bytes(let bytes): object[key + "_base64"] = .text(Data(bytes).base64EncodedString())
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return [UInt8](try encoder.encode(object)) } catch {
            throw CtlFailure(.failed, "A line could not be written as JSON: \(error)")
        }
    }

    private enum Field: Encodable {
        case number(UInt64)
        case text(String)
        case flag(Bool)

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .number(let number): try container.encode(number)
            case .text(let text): try container.encode(text)
            case .flag(let flag): try container.encode(flag)
            }
        }
    }
}
