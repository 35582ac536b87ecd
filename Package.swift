// swift-tools-version: 6.3
import PackageDescription

/// The one list of settings for every Swift target.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableExperimentalFeature("Lifetimes"),
  // Every Clang module, the system's own included, must see libc alike: our headers ask for _GNU_SOURCE, and a
  // `struct fd_set` that differs between two modules ends the build whenever both happen to be loaded.
  .unsafeFlags(["-Xcc", "-D_GNU_SOURCE"]),
]

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

    // Values.
    library("NetworkTypes"),
    library("Crypto", ["COpenSSL", "NetworkTypes"]),
    library("Text", ["CStringPrep"]),
    library("JSON", ["CJansson"]),

    // The wire, and the behaviour on both sides of it: no I/O, no clock, no lock, no log.
    library("STUN", ["NetworkTypes", "Crypto"]),
    library("TURN", ["STUN", "NetworkTypes", "Crypto", "CIntrinsics"]),
    library("TURNClient", ["STUN", "NetworkTypes", "Crypto"]),

    library("Dissection", ["STUN", "NetworkTypes", "Crypto"]),

    // The outside world.
    library("NetIO", ["CLinux", "NetworkTypes"]),
    library("TLS", ["COpenSSL", "NetworkTypes"]),
    library("DNS", ["CCares", "TURNClient", "NetworkTypes"]),
    library("ClientIO", ["DNS", "TURNClient", "STUN", "Crypto", "NetIO", "TLS", "NetworkTypes"]),
    library("LoadGeneration", ["TURNClient", "STUN", "Crypto", "NetIO", "TLS", "NetworkTypes"]),
    library("Capture", ["CPcap"]),
    library("Metrics", []),
    library("Credentials", ["Crypto", "Text", "NetworkTypes"]),
    library("CredentialsSQLite", ["Credentials", "Crypto", "CSQLite"]),

    // Composition.
    library("Configuration", ["CYAML", "Crypto", "NetworkTypes"]),
    library(
      "TurnpikeServer",
      [
        "TURN", "STUN", "Crypto", "NetIO", "TLS", "Metrics", "Credentials", "CredentialsSQLite", "Configuration",
        "NetworkTypes", "JSON", "Text",
      ]),

    // Programs.
    program(
      "turnpike",
      ["TurnpikeServer", "TURN", "Configuration", "Credentials", "CredentialsSQLite", "Crypto", "JSON", "NetIO", "Metrics",
        "NetworkTypes"]),
    library("ClientPrograms", ["TURNClient", "TLS", "Crypto", "JSON", "Text", "NetIO", "NetworkTypes"]),
    program(
      "stunclient",
      ["ClientPrograms", "ClientIO", "Dissection", "Capture", "TURNClient", "TLS", "Crypto", "JSON", "NetIO", "NetworkTypes"]),
    program(
      "turnload",
      ["ClientPrograms", "LoadGeneration", "ClientIO", "TURNClient", "TLS", "Crypto", "JSON", "NetIO", "NetworkTypes"]),

    // What tests share, and tests: one folder a module.
    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: settings),
    tests("TestSupport", ["TestSupport"]),
    tests("NetworkTypes", ["NetworkTypes", "TestSupport"]),
    tests("Crypto", ["Crypto", "NetworkTypes"]),
    tests("STUN", ["STUN", "Crypto", "NetworkTypes"]),
    tests("Configuration", ["Configuration", "Crypto", "NetworkTypes"]),
    tests("Text", ["Text"]),
    tests("JSON", ["JSON", "Crypto"]),
    tests("NetIO", ["NetIO", "NetworkTypes", "TestSupport"]),
    tests("Turnpike", ["turnpike", "CredentialsSQLite", "Credentials", "Crypto", "JSON", "TestSupport"]),
    tests("Credentials", ["Credentials", "Crypto", "Text"]),
    tests("CredentialsSQLite", ["CredentialsSQLite", "Credentials", "Crypto", "TestSupport"]),
    tests("TurnpikeServer", ["TurnpikeServer", "TURN", "Credentials", "Crypto", "Metrics", "NetIO", "NetworkTypes"]),
    tests("TURN", ["TURN", "STUN", "Crypto", "NetworkTypes"]),
    tests("TLS", ["TLS", "NetworkTypes", "TestSupport"]),
    tests("DNS", ["DNS", "ClientIO", "TURNClient", "Crypto", "NetIO", "NetworkTypes"]),
    tests("Dissection", ["Dissection", "Capture", "STUN", "Crypto", "NetworkTypes", "TestSupport"]),
    tests("TURNClient", ["TURNClient", "STUN", "Crypto", "NetworkTypes", "TestSupport"]),
    tests(
      "ClientIO",
      ["ClientIO", "TURNClient", "STUN", "Crypto", "NetIO", "TLS", "NetworkTypes", "stunclient", "TestSupport"]),
    tests(
      "Server",
      ["turnpike", "stunclient", "ClientIO", "TURNClient", "STUN", "TLS", "Crypto", "NetIO", "NetworkTypes", "TestSupport"]),
    tests(
      "LoadGeneration",
      ["LoadGeneration", "turnload", "ClientPrograms", "TURNClient", "STUN", "TLS", "Crypto", "JSON", "NetIO",
        "NetworkTypes", "TestSupport"]),
    tests("stunclient", ["stunclient", "ClientPrograms", "ClientIO", "TURNClient", "JSON", "NetworkTypes", "TestSupport"]),
  ]
)
