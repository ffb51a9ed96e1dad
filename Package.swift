// swift-tools-version: 6.2

import PackageDescription

/// The rules every target is compiled under. Speed flags live in `scripts/build`, not here: a
/// package with `unsafeFlags` could not be a dependency, and BrokerClient must be one.
let rules: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// A target of the house. `uses` may name only targets of a lower level; Tests/HouseTests holds it to that.
func room(_ name: String, uses: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: uses, swiftSettings: rules)
}

func program(_ name: String, uses: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: uses, swiftSettings: rules)
}

func tests(_ name: String, uses: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: uses, swiftSettings: rules)
}

/// A program that shows how something is used, as a user would write it.
func example(_ name: String) -> Target {
    .executableTarget(name: name, dependencies: ["BrokerClient"], path: "Examples/\(name)", swiftSettings: rules)
}

let package = Package(
    name: "brokerd",
    products: [
        .library(name: "BrokerClient", targets: ["BrokerClient"]),
        .library(name: "BrokerClientJSON", targets: ["BrokerClientJSON"]),
        .library(name: "BrokerClientSQLite", targets: ["BrokerClientSQLite"]),
        .library(name: "BrokerTesting", targets: ["BrokerTesting"]),
        .executable(name: "brokerd", targets: ["brokerd"]),
        .executable(name: "brokerctl", targets: ["brokerctl"]),
        .executable(name: "brokerbench", targets: ["brokerbench"]),
        .executable(name: "brokersim", targets: ["brokersim"]),
    ],
    targets: [
        // Level 0
        .target(name: "CSystem"),
        // Without pkgConfig, which would be looked for, and missed, by builds that do not need it.
        .systemLibrary(name: "CSQLite"),
        // Level 1
        room("Base", uses: ["CSystem"]),
        // Level 2
        room("STOMP", uses: ["Base"]),
        room("BrokerCore", uses: ["Base"]),
        // Level 3
        room("Sessions", uses: ["STOMP", "BrokerCore", "Base"]),
        room("Storage", uses: ["BrokerCore", "Base"]),
        room("Net", uses: ["Base", "CSystem"]),
        // Level 4
        room("LogStorage", uses: ["Storage", "BrokerCore", "Base", "CSystem"]),
        room("BrokerClient", uses: ["STOMP", "Net", "Base"]),
        // Level 5
        room(
            "DaemonKit", uses: ["Sessions", "LogStorage", "Storage", "Net", "STOMP", "BrokerCore", "Base", "CSystem"]),
        room(
            "Simulation",
            uses: ["Sessions", "LogStorage", "Storage", "STOMP", "BrokerCore", "Base"]),
        room("BrokerClientJSON", uses: ["BrokerClient"]),
        room("BrokerClientSQLite", uses: ["BrokerClient", "CSQLite"]),
        room("BrokerTesting", uses: ["BrokerClient", "Sessions", "BrokerCore", "Base"]),
        // Level 6
        program("brokerd", uses: ["DaemonKit"]),
        program("brokerctl", uses: ["DaemonKit", "LogStorage", "Storage", "BrokerClient", "STOMP", "Net", "Base"]),
        program("brokerbench", uses: ["BrokerClient", "Base", "CSystem"]),
        program("brokersim", uses: ["Simulation", "Base"]),

        example("PriceService"),
        example("PriceAsker"),

        tests("BaseTests", uses: ["Base"]),
        tests("STOMPTests", uses: ["STOMP", "Base"]),
        tests("BrokerCoreTests", uses: ["BrokerCore", "Base"]),
        tests("SessionsTests", uses: ["Sessions", "STOMP", "BrokerCore", "Base"]),
        tests("LogStorageTests", uses: ["Simulation", "LogStorage", "Storage", "BrokerCore", "Base", "CSystem"]),
        tests("SimulationTests", uses: ["Simulation"]),
        tests("NetTests", uses: ["Net", "Base"]),
        tests("BrokerClientTests", uses: ["BrokerClient", "STOMP", "Base"]),
        tests("BrokerTestingTests", uses: ["BrokerTesting", "BrokerClient", "BrokerCore", "Base"]),
        tests("BrokerClientJSONTests", uses: ["BrokerClientJSON", "BrokerTesting", "BrokerClient"]),
        tests("BrokerClientSQLiteTests", uses: ["BrokerClientSQLite", "BrokerTesting", "BrokerClient", "CSQLite"]),
        tests("DaemonKitTests", uses: ["brokerctl", "DaemonKit", "Net", "STOMP", "BrokerCore", "Base"]),
        tests("BrokerBenchTests", uses: ["brokerbench", "Base"]),
        tests("ProcessTests", uses: ["BrokerClientSQLite", "BrokerClient", "STOMP", "Base"]),
        tests("HouseTests", uses: []),
    ],
    swiftLanguageModes: [.v6]
)
