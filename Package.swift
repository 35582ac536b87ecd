// swift-tools-version: 6.3
import Foundation
import PackageDescription

/// The settings of all Swift targets.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableExperimentalFeature("Lifetimes"),
]

/// The files of the web pages.
let dashboardFiles = [
  "index.html", "dashboard.css", "dashboard.js", "chart.js", "server.js", "words.js", "favicon.svg",
].map { "Dashboard/\($0)" }
let demoFiles = [
  "demo.html", "demo.css", "demo.js", "access.js", "candidates.js", "check.js", "line.js", "media.js", "modes.js",
  "panels.js", "peer.js", "plot.js", "qr.js", "record.js", "room.js", "session.js", "signal.js", "stats.js",
  "transfer.js",
].map { "Demo/\($0)" }

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name + "Tests", dependencies: dependencies, path: "Tests/\(name)Tests", swiftSettings: settings)
}

let package = Package(
  name: "turnpike",
  products: [
    .executable(name: "turnpike", targets: ["turnpike"]),
    .executable(name: "stunclient", targets: ["stunclient"]),
    .executable(name: "turnload", targets: ["turnload"]),
    // Each product contains the modules whose types are in its interface. The first three use no socket and no clock.
    .library(name: "STUN", targets: ["STUN", "Crypto", "NetworkTypes"]),
    .library(name: "TURN", targets: ["TURN", "STUN", "Crypto", "NetworkTypes"]),
    .library(name: "Dissection", targets: ["Dissection", "NetworkTypes"]),
    .library(name: "TURNClient", targets: ["TURNClient", "STUN", "Crypto", "NetworkTypes"]),
    .library(
      name: "TurnpikeServer", targets: ["TurnpikeServer", "Configuration", "TURN", "Log", "System", "NetworkTypes"]),
    .library(name: "ClientIO", targets: ["ClientIO", "TURNClient", "STUN", "Crypto", "System", "TLS", "NetworkTypes"]),
  ],
  targets: [
    // C libraries: headers only, exactly one Swift module above each (Crypto and TLS share OpenSSL).
    .systemLibrary(name: "CLinux"),
    .systemLibrary(name: "CIntrinsics"),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CJansson", pkgConfig: "jansson", providers: [.apt(["libjansson-dev"])]),
    .systemLibrary(name: "CStringPrep", pkgConfig: "libidn", providers: [.apt(["libidn-dev", "libunistring-dev"])]),
    .systemLibrary(name: "CCares", pkgConfig: "libcares", providers: [.apt(["libc-ares-dev"])]),
    .systemLibrary(name: "CPcap", pkgConfig: "libpcap", providers: [.apt(["libpcap-dev"])]),
    .systemLibrary(name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
    .systemLibrary(name: "CWebSockets", pkgConfig: "libwebsockets", providers: [.apt(["libwebsockets-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),

    // Values.
    library("NetworkTypes"),
    library("Tables"),
    library("Crypto", ["COpenSSL", "CZlib", "NetworkTypes"]),
    library("StringPreparation", ["CStringPrep"]),
    library("JSON", ["CJansson"]),
    // The rooms of the demo page: who is in them, and who gets which message.
    library("Rooms", ["JSON", "Crypto", "NetworkTypes"]),

    // Protocols, for clients and servers: no I/O, no clock, no lock, no log.
    library("STUN", ["NetworkTypes", "Crypto"]),
    library("TURN", ["STUN", "Tables", "NetworkTypes", "Crypto", "CIntrinsics"]),
    library("TURNClient", ["STUN", "NetworkTypes", "Crypto"]),

    library("Dissection", ["CPcap", "STUN", "NetworkTypes", "Crypto"]),

    // I/O.
    library("System", ["CLinux", "NetworkTypes"]),
    library("NetIO", ["CLinux", "System", "Tables", "NetworkTypes"]),
    library("TLS", ["COpenSSL", "System", "NetworkTypes"]),
    library("DNS", ["CCares", "TURNClient", "NetworkTypes"]),
    library("ClientIO", ["DNS", "TURNClient", "STUN", "Crypto", "NetIO", "System", "TLS", "NetworkTypes"]),
    library(
      "LoadGeneration",
      [
        "ClientIO", "StringPreparation",
        "TURNClient", "STUN", "Crypto", "NetIO", "System", "TLS", "Tables",
        "NetworkTypes",
      ]),
    library("Hardening", ["CSeccomp", "System", "NetworkTypes"]),
    library("Log", ["JSON", "System", "NetworkTypes"]),
    library("WebServer", ["CWebSockets", "TLS", "NetworkTypes"]),
    library("WebClient", ["CCurl"]),
    library("Credentials", ["Crypto", "JSON", "StringPreparation", "NetworkTypes"]),
    library("CredentialsSQLite", ["Credentials", "Crypto", "NetIO", "System", "CSQLite", "NetworkTypes"]),

    // Composition.
    library(
      "Configuration", ["CYAML", "Crypto", "Log", "NetworkTypes", "STUN", "StringPreparation", "System", "TLS", "TURN"]),
    library(
      "TurnpikeServer",
      [
        "TURN", "STUN", "Crypto", "NetIO", "System", "TLS", "Log", "Credentials", "CredentialsSQLite", "Configuration",
        "NetworkTypes", "Tables", "JSON", "StringPreparation", "Hardening", "Metrics", "Admin", "WebServer",
        "WebClient", "ClientIO", "TURNClient",
      ]),
    // What the program shows of itself over HTTP. It sees the server as a protocol.
    library("Metrics"),
    .target(
      name: "Admin", dependencies: ["WebServer", "Metrics", "Rooms", "JSON", "Crypto", "System", "NetworkTypes"],
      // The dashboard and the demo page are part of the program.
      resources: (dashboardFiles + demoFiles).map { .embedInCode($0) },
      swiftSettings: settings),

    // Programs.
    program(
      "turnpike",
      [
        "TurnpikeServer", "TURN", "Configuration", "Credentials", "CredentialsSQLite", "Crypto", "JSON", "NetIO",
        "System", "Log", "TLS", "WebClient",
        "NetworkTypes", "StringPreparation", "CommandLine",
      ]),
    library("CommandLine", ["StringPreparation", "System", "NetworkTypes"]),
    library(
      "Probe",
      [
        "CommandLine", "ClientIO", "Dissection", "TURNClient", "TLS", "Crypto", "JSON", "StringPreparation", "NetIO",
        "System", "NetworkTypes",
      ]),
    program("stunclient", ["CommandLine", "Probe", "TURNClient", "StringPreparation", "System", "NetworkTypes"]),
    program(
      "turnload",
      [
        "CommandLine", "Probe", "LoadGeneration", "ClientIO", "TURNClient", "TLS", "Crypto", "JSON", "NetIO", "System",
        "NetworkTypes",
      ]),

    // Shared test code, and tests: one folder for each module.
    .target(name: "TestSupport", dependencies: ["CLinux"], path: "Tests/TestSupport", swiftSettings: settings),
    tests("TestSupport", ["TestSupport"]),
    tests("NetworkTypes", ["NetworkTypes", "TestSupport"]),
    tests("Tables", ["Tables", "TestSupport"]),
    tests("Crypto", ["Crypto", "NetworkTypes"]),
    tests("STUN", ["STUN", "Crypto", "NetworkTypes", "TestSupport"]),
    tests(
      "Configuration",
      ["Configuration", "Crypto", "Log", "NetworkTypes", "STUN", "TLS", "TURN", "TestSupport"]),
    tests("Log", ["Log", "NetworkTypes"]),
    tests("StringPreparation", ["StringPreparation"]),
    tests("JSON", ["JSON", "Crypto", "TestSupport"]),
    tests("Rooms", ["Rooms", "JSON", "NetworkTypes"]),
    tests("System", ["System", "NetworkTypes", "TestSupport"]),
    // Runs the functions of Tests/Fuzz over the committed corpora.
    .testTarget(
      name: "FuzzTests",
      dependencies: [
        "Admin", "Configuration", "Credentials", "Crypto", "Dissection", "JSON", "Metrics", "NetworkTypes", "Rooms",
        "STUN",
        "TLS", "TURN",
        "Tables", "TurnpikeServer", "WebServer", "TestSupport",
      ],
      path: "Tests/Fuzz", exclude: ["Package.swift", "run", "Corpora", "Sources/fuzz"],
      sources: ["Sources/FuzzTargets", "Replay"], swiftSettings: settings),
    tests("Hardening", ["Hardening", "System", "NetworkTypes", "TestSupport"]),
    tests("NetIO", ["NetIO", "System", "Tables", "NetworkTypes", "TestSupport"]),
    tests(
      "Turnpike",
      [
        "turnpike", "CommandLine", "CredentialsSQLite", "Credentials", "Crypto", "JSON", "NetworkTypes", "System",
        "WebServer", "TestSupport",
      ]),
    tests("WebServer", ["WebServer", "TLS", "NetIO", "System", "NetworkTypes", "TestSupport"]),
    tests("WebClient", ["WebClient", "WebServer", "System", "TestSupport"]),
    tests("Metrics", ["Metrics"]),
    tests(
      "Admin",
      ["Admin", "WebServer", "Metrics", "Rooms", "JSON", "NetIO", "NetworkTypes", "System", "TestSupport"]),
    tests("Credentials", ["Credentials", "Crypto", "StringPreparation"]),
    tests("CredentialsSQLite", ["CredentialsSQLite", "Credentials", "Crypto", "NetworkTypes", "TestSupport"]),
    tests(
      "TurnpikeServer",
      [
        "TurnpikeServer", "TURN", "Configuration", "Credentials", "Crypto", "Log", "NetIO", "System", "TLS", "Tables",
        "NetworkTypes", "TestSupport",
      ]),
    tests("TURN", ["TURN", "Tables", "STUN", "Crypto", "NetworkTypes", "TestSupport"]),
    tests("TLS", ["TLS", "System", "NetworkTypes", "TestSupport"]),
    tests("DNS", ["DNS", "ClientIO", "TURNClient", "Crypto", "NetIO", "System", "NetworkTypes"]),
    tests("Dissection", ["Dissection", "STUN", "Crypto", "NetworkTypes", "TestSupport"]),
    tests("TURNClient", ["TURNClient", "STUN", "Crypto", "NetworkTypes", "TestSupport"]),
    tests(
      "ClientIO",
      [
        "ClientIO", "TURNClient", "STUN", "Crypto", "NetIO", "System", "TLS", "NetworkTypes", "stunclient",
        "TestSupport",
      ]),
    tests(
      "Server",
      [
        "turnpike", "stunclient", "ClientIO", "TURNClient", "STUN", "TLS", "Crypto", "NetIO", "System", "NetworkTypes",
        "CLinux", "Hardening", "JSON", "WebClient", "WebServer", "TestSupport",
      ]),
    tests(
      "LoadGeneration",
      [
        "LoadGeneration", "turnload", "CommandLine", "Probe", "TURNClient", "STUN", "TLS", "Crypto", "JSON",
        "NetIO",
        "System",
        "NetworkTypes", "TestSupport",
      ]),
    tests(
      "stunclient",
      ["stunclient", "CommandLine", "Probe", "ClientIO", "TURNClient", "JSON", "NetworkTypes", "TestSupport"]),
  ]
)

// A build of the programs alone, such as that of deploy/Dockerfile, has no Tests folder.
if !FileManager.default.fileExists(atPath: Context.packageDirectory + "/Tests") {
  package.targets.removeAll { $0.path?.hasPrefix("Tests/") == true }
}
