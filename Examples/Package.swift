// swift-tools-version: 6.3
import PackageDescription

// A separate package, like that of another program: it can use only Turnpike's products.
let package = Package(
  name: "turnpike-examples",
  dependencies: [.package(name: "turnpike", path: "..")],
  targets: [
    .executableTarget(
      name: "embedded-server", dependencies: [.product(name: "TurnpikeServer", package: "turnpike")]),
    .executableTarget(name: "relay-client", dependencies: [.product(name: "ClientIO", package: "turnpike")]),
  ]
)
