import Glibc

/// brokerctl: looks after a brokerd. Exit codes: see `CtlFailure.Kind`.
exit(Brokerctl.run(CommandLine.arguments, Console.standard()))
