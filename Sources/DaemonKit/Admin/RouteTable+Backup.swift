extension Route {
    private static let backupID = RouteParameter("id", in: .path, .text, "`id` of the copy")

    /// Copies of the store while it is in use.
    static let backups = [
        Route(
            "POST", "/v1/backup",
            "Sets a copy of the store aside, as it is now, in `backup` of the data directory; there is one at a time.",
            response: API.Backup.self, statuses: [201], errors: [.inUse, .failed], AdminRoutes.beginBackup),
        Route(
            "POST", "/v1/backup/{id}/renew", "Says that the copy is still being read.", [backupID],
            response: API.Backup.self, errors: [.notFound], AdminRoutes.renewBackup),
        Route(
            "DELETE", "/v1/backup/{id}", "Removes the copy that was set aside.", [backupID],
            response: API.Backup.self, errors: [.notFound, .failed], AdminRoutes.endBackup),
    ]
}

extension AdminRoutes {
    @Sendable static func beginBackup(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.beginBackup(), status: 201)
    }

    @Sendable static func renewBackup(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.renewBackup(id: call.text("id") ?? ""))
    }

    @Sendable static func endBackup(_ call: RouteCall) async throws(AdminError) -> HTTPResponse {
        try json(try await call.backend.endBackup(id: call.text("id") ?? ""))
    }
}
