extension Verb {
    /// Everything that brokerctl can do, in the order of its help.
    static let all: [Verb] = broker + stores + queues + policies + clients + messages + styles + itself

    private static let queueName = Argument(name: "NAME", summary: "name of the queue, `orders` or `/queue/orders`")
    private static let pattern = Option(
        name: "--name", value: "PATTERN", summary: "only names that fit; `*` is any run of characters")
    private static let selector = Option(
        name: "--where", value: "SELECTOR", summary: "only messages whose headers fit, `colour = 'red' AND n > 5`")
    private static let durable = Argument(
        name: "NAME", summary: "`NAME`, `CLIENT.NAME` if it belongs to a client, or `/dsub/...`")

    private static let broker = [
        Verb(
            "status", "Shows version, health, addresses, totals and rates.",
            detail: "Exit code 1 when the broker is not ready.",
            examples: ["brokerctl status", "brokerctl --admin 127.0.0.1:61680 status --json"], run: StatusVerbs.status),
        Verb(
            "store info", "Shows the storage: files, syncs, room, and what recovery found.",
            examples: ["brokerctl store info"], run: StatusVerbs.store),
        Verb(
            "config show", "Shows the settings in effect, and where each comes from.",
            options: [Option(name: "--changed", value: nil, summary: "only those that are not the default")],
            examples: ["brokerctl config show --changed"], run: StatusVerbs.settings),
        Verb(
            "reload", "Makes the broker read its configuration file again.",
            detail: "A file with a mistake is refused as a whole. Says what needs a restart.",
            examples: ["brokerctl reload"], run: StatusVerbs.reload),
    ]

    private static let queues = [
        Verb(
            "queue list", "Lists queues.", options: [pattern],
            examples: ["brokerctl queue list", "brokerctl queue list --name 'orders.*' --json"], run: QueueVerbs.list),
        Verb(
            "queue show", "Shows one queue.", arguments: [queueName],
            examples: ["brokerctl queue show orders"], run: QueueVerbs.show),
        Verb(
            "queue create", "Makes a durable queue; one that exists stays as it is.", arguments: [queueName],
            options: [set],
            examples: ["brokerctl queue create orders", "brokerctl queue create orders --set delivery_limit=5"],
            run: QueueVerbs.create),
        Verb(
            "queue delete", "Deletes a queue.", arguments: [queueName],
            options: [Option(name: "--force", value: nil, summary: "also when it has consumers or messages")],
            examples: ["brokerctl queue delete orders", "brokerctl queue delete orders --force"], run: QueueVerbs.delete
        ),
        Verb(
            "queue purge", "Throws away all messages of a queue that no consumer holds.", arguments: [queueName],
            options: [selector],
            examples: ["brokerctl queue purge orders.dlq", "brokerctl queue purge orders --where \"n > 5\""],
            run: QueueMessageVerbs.purge),
        Verb(
            "queue browse", "Shows messages of a queue without consuming them, lane by lane, oldest first.",
            arguments: [queueName],
            options: [
                selector,
                Option(name: "--from", value: "PLACE", summary: "the first one, as the column PLACE says it"),
                Option(name: "--count", value: "N", summary: "at most so many (20)"),
                Option(name: "--body-bytes", value: "N", summary: "at most so much of each body (256)"),
                Option(name: "--full", value: nil, summary: "with headers, and bodies on lines of their own"),
            ],
            detail: "Messages of a priority, of groups and delayed ones have lanes of their own.",
            examples: [
                "brokerctl queue browse orders", "brokerctl queue browse orders --from 1:1000 --count 5 --full",
            ],
            run: QueueMessageVerbs.browse),
        Verb(
            "queue move", "Moves messages that no consumer holds to another queue, oldest first.",
            arguments: [
                Argument(name: "FROM", summary: "the queue that loses them"),
                Argument(name: "TO", summary: "the queue that gets them; made if it does not exist"),
            ],
            options: [
                Option(name: "--count", value: "N", summary: "at most so many (all that are there now)"), selector,
            ],
            detail:
                "Priorities, groups and delays stay; the header `destination` becomes TO. Limits of TO do not count.",
            examples: ["brokerctl queue move orders later --count 100"],
            run: QueueMessageVerbs.move),
        Verb(
            "queue retry", "Puts dead letters back into the queues where they died.",
            arguments: [Argument(name: "NAME", summary: "name of the dead-letter queue")],
            options: [
                selector,
                Option(name: "--limit", value: "N", summary: "at most so many (all that are there now)"),
            ],
            detail:
                "The headers that dead letters get come off, `destination` is what it was, and deliveries count anew. "
                + "What has no `original-destination` stays.",
            examples: [
                "brokerctl queue retry orders.dlq",
                "brokerctl queue retry orders.dlq --where \"n > 5\" --limit 10",
            ],
            run: QueueMessageVerbs.retry),
    ]

    private static let set = Option(
        name: "--set", value: "KEY=VALUE", summary: "a setting; docs/policies.md lists them", isRepeatable: true)
    private static let which = [
        Option(name: "--delivery", value: nil, summary: "only delivering to consumers"),
        Option(name: "--sending", value: nil, summary: "only taking messages from senders"),
    ]
    private static let policyName = Argument(name: "NAME", summary: "name of the policy")

    private static let policies = [
        Verb(
            "queue settings", "Shows the settings of a queue and where each is from, or changes those of its own.",
            arguments: [queueName],
            options: [
                set,
                Option(
                    name: "--unset", value: "KEY", summary: "let the policies decide this one again", isRepeatable: true
                ),
            ],
            detail: "All changes are made or none. They count at once; messages in the queue stay as they are.",
            examples: ["brokerctl queue settings orders", "brokerctl queue settings orders --set length_most=100000"],
            run: PolicyVerbs.queueSettings),
        Verb(
            "queue pause", "Stops delivering from a queue and taking messages for it.", arguments: [queueName],
            options: which,
            detail:
                "What consumers hold stays theirs. SEND is answered by the ERROR `queue is paused`. A restart of the "
                + "broker does not resume it.",
            examples: ["brokerctl queue pause orders", "brokerctl queue pause orders --delivery"],
            run: PolicyVerbs.pause),
        Verb(
            "queue resume", "Goes on delivering from a queue and taking messages for it.", arguments: [queueName],
            options: which, examples: ["brokerctl queue resume orders"], run: PolicyVerbs.resume),
        Verb(
            "policy list", "Lists policies, those of the configuration file and those of operators.",
            examples: ["brokerctl policy list"], run: PolicyVerbs.list),
        Verb(
            "policy set", "Gives settings to all destinations whose names fit a pattern.", arguments: [policyName],
            options: [
                Option(
                    name: "--pattern", value: "PATTERN",
                    summary: "`/queue/orders.*`, `/topic/**`; `*` is one word, `**` at the end the rest"),
                Option(name: "--priority", value: "N", summary: "the highest goes first (0)"),
                set,
            ],
            detail: "Takes the place of the policy that an operator has set under this name, as a whole. It counts at "
                + "once, survives a restart, and stands in for one of the same name in the configuration file.",
            examples: ["brokerctl policy set orders --pattern '/queue/orders.**' --set delivery_limit=5"],
            run: PolicyVerbs.set),
        Verb(
            "policy delete", "Deletes a policy that an operator has set.", arguments: [policyName],
            examples: ["brokerctl policy delete orders"], run: PolicyVerbs.delete),
        Verb(
            "policy explain", "Says for each setting of a destination where it is from and what lost against it.",
            arguments: [
                Argument(name: "DESTINATION", summary: "`/queue/orders`, `/topic/news`; a bare name is a queue")
            ],
            detail: "The destination need not exist.",
            examples: ["brokerctl policy explain /queue/orders.eu"], run: PolicyVerbs.explain),
    ]

    private static let clients = [
        Verb(
            "topic list", "Lists topics.", options: [pattern],
            examples: ["brokerctl topic list"], run: ClientVerbs.topics),
        Verb(
            "connection list", "Lists connections of clients.",
            options: [Option(name: "--peer", value: "PATTERN", summary: "only addresses that fit, `127.0.0.1:*`")],
            examples: ["brokerctl connection list"], run: ClientVerbs.connections),
        Verb(
            "connection close", "Ends a connection; what it has not acknowledged goes back to its queues.",
            arguments: [Argument(name: "ID", summary: "as `brokerctl connection list` shows it")],
            examples: ["brokerctl connection close 12"], run: ClientVerbs.close),
        Verb(
            "subscription list", "Lists subscriptions of clients, or durable ones of topics.",
            options: [
                Option(name: "--durable", value: nil, summary: "the durable ones, whether anybody consumes or not"),
                Option(name: "--connection", value: "ID", summary: "only those of this connection"),
                Option(
                    name: "--destination", value: "PATTERN", summary: "only destinations that fit, `/queue/orders*`"),
            ],
            examples: [
                "brokerctl subscription list --destination /queue/orders", "brokerctl subscription list --durable",
            ],
            run: ClientVerbs.subscriptions),
        Verb(
            "subscription show", "Shows one durable subscription.", arguments: [durable],
            examples: ["brokerctl subscription show billing.prices"], run: DurableVerbs.show),
        Verb(
            "subscription delete", "Deletes a durable subscription and all that waits in it.", arguments: [durable],
            options: [Option(name: "--force", value: nil, summary: "also when it has consumers")],
            examples: ["brokerctl subscription delete billing.prices"], run: DurableVerbs.delete),
    ]

    private static let itself = [
        Verb(
            "version", "Prints the version of brokerctl.", examples: ["brokerctl version"], run: HelpVerbs.version),
        Verb(
            "help", "Lists the verbs, or explains one.",
            arguments: [Argument(name: "VERB", summary: "one or two words", isOptional: true)],
            examples: ["brokerctl help", "brokerctl help queue move"], run: HelpVerbs.help),
        Verb(
            "completion bash", "Prints a script that completes verbs and options in bash.",
            examples: ["source <(brokerctl completion bash)"], run: HelpVerbs.completion),
    ]
}
