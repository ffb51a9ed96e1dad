extension Route {
    private static let policyName = RouteParameter("policy", in: .path, .text, "name of the policy")
    private static let which = [
        RouteParameter("delivery", .boolean, standard: "true", "delivering to consumers"),
        RouteParameter("sending", .boolean, standard: "true", "taking messages from senders"),
    ]

    /// How destinations behave.
    static let policies = [
        Route(
            "GET", "/v1/policies", "All policies.", response: API.PolicyList.self, AdminRoutes.policies),
        Route(
            "PUT", "/v1/policies/{policy}",
            "Sets a policy in the place of the one that an operator has set under that name, if any.", [policyName],
            body: API.PolicyRequest.self, response: API.PolicyChange.self, statuses: [201, 200], errors: [.invalid],
            AdminRoutes.setPolicy),
        Route(
            "DELETE", "/v1/policies/{policy}", "Deletes a policy that an operator has set.", [policyName],
            response: API.PolicyRemoval.self, errors: [.notFound], AdminRoutes.deletePolicy),
        Route(
            "GET", "/v1/destinations/{destination}/settings",
            "Why a destination is as it is, whether it exists or not.",
            [
                RouteParameter(
                    "destination", in: .path, .text, "its name with its prefix, percent-encoded: `%2Fqueue%2Forders`")
            ],
            response: API.Explanation.self, errors: [.invalid], AdminRoutes.explain),
        Route(
            "GET", "/v1/queues/{name}/settings", "Why a queue is as it is.", [queueName],
            response: API.Explanation.self, errors: [.notFound], AdminRoutes.queueSettings),
        Route(
            "POST", "/v1/queues/{name}/settings", "Gives a queue settings of its own, or takes them back.", [queueName],
            body: API.SettingsChange.self, response: API.Explanation.self, errors: [.invalid, .notFound],
            AdminRoutes.changeQueueSettings),
        Route(
            "POST", "/v1/queues/{name}/pause",
            "Stops delivering and taking messages until it is resumed; a restart does not resume it.",
            [queueName] + which,
            response: API.Queue.self, errors: [.invalid, .notFound], AdminRoutes.pause),
        Route(
            "POST", "/v1/queues/{name}/resume", "Goes on delivering and taking messages.", [queueName] + which,
            response: API.Queue.self, errors: [.invalid, .notFound], AdminRoutes.resume),
    ]
}
