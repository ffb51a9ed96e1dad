/// Verbs that speak STOMP: what programs do with messages, to be tried without one.
extension Verb {
    private static let stomp = Option(
        name: "--stomp", value: "HOST:PORT", summary: "where to speak STOMP; the broker is asked if not given")
    private static let destination = Argument(
        name: "DESTINATION", summary: "`/queue/orders`, `/topic/news`; a bare name is a queue")
    private static let body = [
        Option(name: "--file", value: "PATH", summary: "a file whose bytes are the body"), header("of the message"),
        Option(name: "--content-type", value: "TYPE", summary: "what the body is"),
    ]
    private static let bodyText = Argument(
        name: "BODY", summary: "text; standard input if neither it nor --file is given", isOptional: true)
    private static let bodyOnly = Option(
        name: "--body-only", value: nil, summary: "print bodies and nothing else, each with a line end")
    private static let taking = [
        Option(name: "--count", value: "N", summary: "stop after so many (1; no end with --follow)"),
        Option(name: "--follow", value: nil, summary: "go on until interrupted"),
        Option(
            name: "--timeout", value: "SECONDS",
            summary: "stop when no message comes for so long (10; never with --follow)"),
    ]
    private static let atWork = [
        Option(name: "--concurrency", value: "N", summary: "commands that run at the same time (1)"),
        Option(name: "--command-timeout", value: "SECONDS", summary: "a command that takes longer is ended (30)"),
    ]
    private static let commandDetail =
        "A command is run by `sh`, with the body on standard input, and with BROKERCTL_DESTINATION, "
        + "BROKERCTL_MESSAGE_ID, BROKERCTL_CORRELATION_ID and TRACEPARENT in its environment. Interrupted, brokerctl "
        + "takes nothing more and lets commands finish; interrupted again, or when it finds that its connection is lost, "
        + "it ends them, and the broker gives their messages to others. A command is over when it has ended and nothing "
        + "that it started has its output open."

    private static func header(_ place: String) -> Option {
        Option(name: "--header", value: "NAME:VALUE", summary: "a header \(place)", isRepeatable: true)
    }

    static let messages = [
        Verb(
            "publish", "Sends a message, or the same one many times.", arguments: [destination, bodyText],
            options: body + [
                Option(name: "--reply-to", value: "DESTINATION", summary: "where an answer is wanted"),
                Option(name: "--count", value: "N", summary: "how many times (1)"),
                Option(
                    name: "--persistent", value: nil,
                    summary: "the message is to outlive the broker's process (so it is anyway)"),
                Option(
                    name: "--no-persistent", value: nil, summary: "the message may be lost with the broker's process"),
                Option(
                    name: "--receipt", value: nil, summary: "wait until the broker has confirmed (so it does anyway)"),
                Option(name: "--no-receipt", value: nil, summary: "do not wait for a confirmation"),
                stomp,
            ],
            detail: "Exit code 0 means that every message was confirmed, and a persistent one is on disk. "
                + "With --json: {\"confirmed\":true,\"messages\":1}.",
            examples: [
                "brokerctl publish /queue/orders '{\"id\": 1}' --content-type application/json",
                "echo hello | brokerctl publish /topic/news --header lang:en",
            ], run: MessageVerbs.publish),
        Verb(
            "subscribe", "Prints what is published to a topic.",
            arguments: [Argument(name: "TOPIC", summary: "`news`, `/topic/news`, `/topic/news.*`")],
            options: [
                Option(
                    name: "--durable-name", value: "NAME",
                    summary: "what is published while nobody of this name listens waits, on disk")
            ] + taking + [bodyOnly, header("of the SUBSCRIBE frame, `selector:n > 5`"), stomp],
            detail: "Without --durable-name only what is published from now on comes. A durable subscription stays "
                + "until `brokerctl subscription delete`; those of one name share its messages. A message is "
                + "acknowledged after it is printed. Exit code 5 when fewer messages came than --count asks for.",
            examples: [
                "brokerctl subscribe news --follow", "brokerctl subscribe /topic/orders --durable-name billing",
            ],
            run: MessageVerbs.subscribe),
        Verb(
            "consume", "Takes messages from a destination and prints them, or has a command work on them.",
            arguments: [destination],
            options: taking + [
                Option(
                    name: "--ack", value: "MODE", summary: "when a message is gone from the queue (client-individual)",
                    choices: ["auto", "client", "client-individual"]),
                Option(
                    name: "--command", value: "COMMAND",
                    summary: "run this for each message instead, and acknowledge the message when it has succeeded"),
            ] + atWork + [bodyOnly, header("of the SUBSCRIBE frame"), stomp],
            detail:
                "A message is acknowledged after it is printed, so an interrupted run loses none; with `--ack auto` "
                + "those on their way are lost. With --command, one whose command fails is given back: the broker delivers "
                + "it again, later, and after its limit of deliveries makes it a dead letter; then the exit code is 1. "
                + commandDetail + " Exit code 5 when fewer messages came than --count asks for.",
            examples: [
                "brokerctl consume /queue/orders", "brokerctl consume /topic/news --follow --json",
                "brokerctl consume /queue/orders --command ./bill --concurrency 4 --follow",
            ],
            run: MessageVerbs.consume),
    ]

    static let styles = [
        Verb(
            "request", "Sends a request, waits for the reply and prints it.", arguments: [destination, bodyText],
            options: body + [
                Option(
                    name: "--timeout", value: "SECONDS",
                    summary: "how long to wait, and how long it is worth answering (10)"),
                bodyOnly, stomp,
            ],
            detail: "Whatever answers to `reply-to` with the `correlation-id` can be asked, services made with "
                + "BrokerClient among them. Exit code 5 when no reply came in time, and 1 when the service answered that "
                + "it failed: the reply, which is printed all the same, has the header `error-code`.",
            examples: [
                "brokerctl request /queue/prices bicycle",
                "brokerctl request /queue/prices bicycle --timeout 2 --body-only",
            ],
            run: RequestVerbs.request),
        Verb(
            "serve", "Answers requests, by a text, with what they say, or by a command.", arguments: [destination],
            options: [
                Option(name: "--reply", value: "TEXT", summary: "answer this"),
                Option(name: "--echo", value: nil, summary: "answer with the body of the request"),
                Option(
                    name: "--command", value: "COMMAND",
                    summary: "answer with what this prints, whose input is the body"),
            ] + atWork + [
                Option(name: "--name", value: "NAME", summary: "goes along as `replied-by`, for those who gather"),
                Option(name: "--content-type", value: "TYPE", summary: "what the body is"),
                Option(name: "--count", value: "N", summary: "stop after so many requests (no end)"),
                header("of the SUBSCRIBE frame"), stomp,
            ],
            detail: "Replies go to `reply-to` and bring the `correlation-id` back. A command that fails, takes too "
                + "long or writes more than 16 MiB is answered with `error-code:internal-error` and a sentence; what it "
                + "says on standard error is seen here only. A request without `reply-to`, or with one that the broker does not "
                + "have, is worked on and not answered. "
                + commandDetail + " With --json: {\"answered\":1,\"failed\":0,\"unanswered\":0} at the end.",
            examples: [
                "brokerctl serve /queue/prices --reply 890",
                "brokerctl serve /queue/upper --command ./upper --concurrency 4",
                "brokerctl serve /topic/offers --echo --name eu",
            ],
            run: ServeVerb.run),
        Verb(
            "gather", "Asks everybody who listens and prints the replies as they come.",
            arguments: [destination, bodyText],
            options: [
                Option(
                    name: "--from", value: "NAME", summary: "wait for the reply of this one, by its `replied-by`",
                    isRepeatable: true),
                Option(name: "--at-most", value: "N", summary: "stop after so many replies (100)"),
                Option(name: "--timeout", value: "SECONDS", summary: "how long to wait (10)"),
            ] + body + [bodyOnly, stomp],
            detail:
                "Stops when all who are named by --from have answered, when --at-most replies came, or when the time "
                + "is over. Exit code 5 when nobody answered, or one of those named did not.",
            examples: [
                "brokerctl gather /topic/offers bicycle --timeout 2",
                "brokerctl gather /topic/offers bicycle --from eu --from us",
            ],
            run: RequestVerbs.gather),
    ]
}
