// swift-tools-version: 6.3
import PackageDescription

// A separate package, because everything in it is built with libFuzzer's counters. Tests/Fuzz/run builds and runs it.
// The ordinary tests of the root package replay the corpora through the same functions.
let package = Package(
  name: "turnpike-fuzz",
  dependencies: [.package(name: "turnpike", path: "../..")],
  targets: [
    .target(
      name: "FuzzTargets",
      dependencies: ["STUN", "TURN", "Dissection", "TurnpikeServer", "ClientIO"].map {
        .product(name: $0, package: "turnpike")
      },
      swiftSettings: [
        .swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes"),
        .enableUpcomingFeature("InternalImportsByDefault"), .enableUpcomingFeature("MemberImportVisibility"),
      ]),
    .executableTarget(
      name: "fuzz", dependencies: ["FuzzTargets"],
      swiftSettings: [.swiftLanguageMode(.v6), .unsafeFlags(["-parse-as-library"])]),
  ]
)
