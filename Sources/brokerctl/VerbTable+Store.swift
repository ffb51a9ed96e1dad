extension Verb {
    private static let directory = Argument(name: "DIR", summary: "the data directory of a broker that is stopped")

    /// Verbs about data directories: copies, damage, repair.
    static let stores = [
        Verb(
            "backup", "Copies the store of a running broker, as it is at one moment.",
            arguments: [Argument(name: "TARGET", summary: "a directory for the copy; new or empty")],
            detail: "The broker goes on serving. The copy holds all that was confirmed when it was begun, and nothing "
                + "that came after its end. Runs on the broker's machine, as a user who may read its data.",
            examples: ["brokerctl backup /var/backups/brokerd/monday"], run: BackupVerbs.backup),
        Verb(
            "restore", "Makes a data directory out of a copy.",
            arguments: [
                Argument(name: "BACKUP", summary: "what `brokerctl backup` made"),
                Argument(name: "DIR", summary: "the new data directory; it is made, or is empty"),
            ],
            detail: "Every byte is compared with the checksums of the copy, and the result looked at as `store check` "
                + "does, before it becomes a data directory. Exit code 6 when it can be started but has damage that "
                + "was copied.",
            examples: ["brokerctl restore /var/backups/brokerd/monday /var/lib/brokerd"], run: BackupVerbs.restore),
        Verb(
            "store check", "Looks at a whole data directory and says what is damaged.", arguments: [directory],
            detail:
                "Changes nothing. Says what a start of the broker would do, and what a repair would lose. Exit code 0 "
                + "when all is whole, 6 when something is damaged, 7 when the directory is in use or cannot be read.",
            examples: ["brokerctl store check /var/lib/brokerd", "brokerctl store check ./data --json"],
            run: StoreVerbs.check),
        Verb(
            "store repair", "Makes a damaged data directory start again with the least loss.", arguments: [directory],
            options: [
                Option(
                    name: "--cut-what-is-damaged", value: nil,
                    summary: "do it; without this nothing is changed, and it is said what would be done"),
                Option(
                    name: "--save", value: "PATH",
                    summary: "a new or empty directory elsewhere for copies of what is replaced "
                        + "(`repair-TIME/saved` in the data directory)"),
            ],
            detail: "What is taken away is saved first. Every message that is lost or may come again is named in "
                + "`repair-TIME/report.txt`. A repair that was cut off is finished by the next. Exit code 6 without "
                + "`--cut-what-is-damaged` when there is something to repair.",
            examples: [
                "brokerctl store repair /var/lib/brokerd",
                "brokerctl store repair /var/lib/brokerd --cut-what-is-damaged",
            ],
            run: StoreVerbs.repair),
        Verb(
            "store dump", "Prints what the files of a data directory say, a line for each thing.",
            arguments: [directory],
            options: [
                Option(name: "--queue", value: "NAME", summary: "only what is about this queue"),
                Option(name: "--bodies", value: nil, summary: "with what messages and notes consist of"),
            ],
            detail: "Changes nothing. What clients gave is escaped, so that a line is a line; with --json contents are "
                + "base64.",
            examples: ["brokerctl store dump ./data --queue orders", "brokerctl store dump ./data --json"],
            run: StoreDumpVerb.dump),
    ]
}
