import Glibc

/// brokerbench: puts load on a STOMP broker and checks every message. Exit codes: 0 all is well, 1 the
/// broker answered ERROR, closed, could not be reached or lost something, 2 wrong usage.
exit(Bench.main(CommandLine.arguments))
