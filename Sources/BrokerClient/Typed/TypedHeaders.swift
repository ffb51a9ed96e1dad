/// The headers by which a body is known for what it is.
enum TypedHeaders {
    static let type = "message-type"
    static let version = "schema-version"
    static let contentType = "content-type"

    /// Body and headers of a value.
    static func encode<Body: MessageBody>(_ body: Body, _ headers: Headers) throws -> ([UInt8], Headers) {
        try headers.check(reserved: [type, version, contentType])
        var headers = headers
        headers.add(contentType, Body.contentType)
        headers.add(type, Body.messageType)
        headers.add(version, Body.schemaVersion.description)
        do {
            return (try body.messageBody(), headers)
        } catch {
            throw BodyError.notEncodable(type: Body.messageType, reason: "\(error)")
        }
    }

    /// What the message says that it is.
    static func identity(of message: Message) throws(BodyError) -> (type: String, version: SchemaVersion) {
        let headers = message.headers
        guard let type = headers[type] else { throw .headerMissing(type) }
        guard let text = headers[version] else { throw .headerMissing(version) }
        guard let version = SchemaVersion(text) else { throw .headerMalformed(name: version, value: text) }
        return (type, version)
    }

    static func decode<Body: MessageBody>(
        _ message: Message, as: Body.Type, version: SchemaVersion
    ) throws(BodyError) -> Body {
        guard Body.understoodMajors.contains(version.major) else {
            throw .majorUnknown(
                type: Body.messageType, version: version, understood: Body.understoodMajors.sorted())
        }
        guard let text = message.contentType else { throw .headerMissing(contentType) }
        guard Body.understoodContentTypes.contains(where: { isSame(text, $0) }) else {
            throw .contentTypeUnknown(text, understood: Body.understoodContentTypes)
        }
        do {
            return try Body(messageBody: message.body, version: version)
        } catch {
            throw .malformed(type: Body.messageType, reason: "\(error)")
        }
    }

    /// Media types do not care for case, and parameters say nothing about which one it is.
    private static func isSame(_ a: String, _ b: String) -> Bool { name(a) == name(b) }

    private static func name(_ mediaType: String) -> String {
        var name = mediaType.prefix { $0 != ";" }
        while name.last == " " || name.last == "\t" { name.removeLast() }
        return name.drop { $0 == " " || $0 == "\t" }.lowercased()
    }
}
