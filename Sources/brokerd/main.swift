import DaemonKit

Daemon.main(Array(CommandLine.arguments.dropFirst()))
