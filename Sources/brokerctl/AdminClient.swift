import Base
import DaemonKit
import Net

/// Asks the admin interface, one request to a connection.
struct AdminClient {
    /// How long an answer may take.
    static let seconds: UInt64 = 30

    let address: SocketAddress

    /// Errors: `usage` for an address that is none.
    init(_ invocation: Invocation, _ console: Console) throws(CtlFailure) {
        let text = AdminClient.address(
            admin: invocation.value("--admin"), data: invocation.value("--data"),
            environment: console.environment, fileExists: console.fileExists)
        address = try SocketAddress.parsed(text)
    }

    /// The option, else the data directory, else BROKERD_ADMIN, else a broker started here, else the service.
    static func address(
        admin: String?, data: String?, environment: [String: String], fileExists: (String) -> Bool
    ) -> String {
        if let admin { return admin }
        if let data { return "unix:\(data)/admin.sock" }
        if let address = environment["BROKERD_ADMIN"], !address.isEmpty { return address }
        let here = "data/admin.sock"
        let service = "/run/brokerd/admin.sock"
        return "unix:\(fileExists(here) || !fileExists(service) ? here : service)"
    }

    /// Errors: `unreachable`, `timedOut`; `notFound` and `failed` with the broker's own sentence.
    func ask<Value: APISchema>(
        _ type: Value.Type, _ method: String, _ path: String, query: [(String, String?)] = [], body: [UInt8] = []
    ) throws(CtlFailure) -> Value {
        var target = path
        for (name, value) in query {
            guard let value else { continue }
            target += (target == path ? "?" : "&") + "\(name)=\(percentEncoded(value))"
        }
        var headers = [HTTPHeader("Host", "localhost"), HTTPHeader("User-Agent", "brokerctl/\(Product.version)")]
        if !body.isEmpty { headers.append(HTTPHeader("Content-Type", "application/json")) }
        let response = try exchange(HTTPRequest(method, target, headers: headers, body: body, keepsAlive: false))
        guard response.status < 300 else { throw failure(response) }
        do throws(AdminError) {
            return try APICoding.decode(type, from: response.body)
        } catch {
            throw CtlFailure(.failed, "The broker's answer is not understood (\(error.message)); use its own brokerctl")
        }
    }

    private func failure(_ response: HTTPResponse) -> CtlFailure {
        guard let error = try? APICoding.decode(API.Failure.self, from: response.body).error else {
            return CtlFailure(.failed, "What answers at \(address) is no brokerd: status \(response.status)")
        }
        return CtlFailure(error.code == AdminError.Code.notFound.rawValue ? .notFound : .failed, error.message)
    }

    private func exchange(_ request: HTTPRequest) throws(CtlFailure) -> HTTPResponse {
        let deadline = Instant.now.adding(milliseconds: AdminClient.seconds * 1000)
        do throws(BlockingSocket.Failure) {
            let socket = try BlockingSocket(to: address, until: deadline)
            var out = Buffer()
            request.encode(into: &out)
            try socket.send(UnsafeBufferPointer(out.readable), until: deadline)
            var input = Buffer()
            var parser = HTTPResponseParser()
            while true {
                let isOpen = try socket.receive(into: &input, until: deadline)
                if let response = try AdminClient.parse(&parser, input, ended: !isOpen) { return response }
            }
        } catch {
            throw explained(error)
        }
    }

    private static func parse(
        _ parser: inout HTTPResponseParser, _ input: borrowing Buffer, ended: Bool
    ) throws(BlockingSocket.Failure) -> HTTPResponse? {
        do throws(HTTPError) {
            return try parser.next(in: UnsafeBufferPointer(input.readable).span, ended: ended)
        } catch {
            throw .broken("what answers there is not the admin interface of a broker (\(error.message))")
        }
    }

    private func explained(_ failure: BlockingSocket.Failure) -> CtlFailure {
        switch failure {
        case .cannotConnect(let why):
            CtlFailure(
                .unreachable,
                "No broker answers at \(address): \(why); start brokerd, or say where it is with --admin or --data")
        case .broken(let why): CtlFailure(.unreachable, "The connection to \(address) broke: \(why)")
        case .timedOut: CtlFailure(.timedOut, "\(address) did not answer within \(AdminClient.seconds) seconds")
        }
    }
}
