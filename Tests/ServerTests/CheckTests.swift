import Foundation
import NetIO
import NetworkTypes
import System
import Testing
import TestSupport
import TLS

/// `turnpike check`, a start and a reload must report the same.
@Suite("turnpike check")
struct CheckTests {
  private let folder: TemporaryDirectory

  init() throws {
    folder = try TemporaryDirectory()
    try FileManager.default.createDirectory(atPath: folder.path("state"), withIntermediateDirectories: true)
    for name in ["a", "b"] {
      let pair = try SelfSignedCertificate(commonName: name, hostNames: [name], addresses: [], now: now)
      try folder.write(pair.certificate, to: "\(name).pem")
      try folder.write(pair.key, to: "\(name).key")
    }
    try folder.write("no PEM at all\n", to: "text")
    try folder.write(
      "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,9F8FC44CFCBE54DD4C488AE7BADA46C0\n\nAAAA\n"
        + "-----END RSA PRIVATE KEY-----\n", to: "encrypted.key")
  }

  private var now: UnixTime { UnixTime(seconds: Int64(Date().timeIntervalSince1970)) }

  private func run(_ command: String, _ yaml: String) throws -> Child.Result {
    let yaml = yaml.replacing("DIR", with: folder.path)
    let file = try folder.write(yaml, to: "t.yml")
    let state = yaml.contains("state-directory") ? [] : ["--set", "state-directory=\(folder.path("state"))"]
    // timeout(1) ends the server if it starts by mistake.
    let arguments = ["5", RunningServer.program, command, "--config", file] + state
    return try Child.run("/usr/bin/timeout", arguments, environment: [:])
  }

  struct Mistake: Sendable, CustomTestStringConvertible {
    var yaml: String
    var message: String
    var testDescription: String { yaml }

    init(_ yaml: String, _ message: String) {
      self.yaml = yaml
      self.message = message
    }
  }

  static let mistakes = [
    Mistake(
      "tls: { certificate: DIR/a.pem, private-key: DIR/b.key }", "tls.private-key: DIR/b.key: does not belong to"),
    Mistake(
      "tls: { certificate: DIR/a.key, private-key: DIR/a.pem }", "tls.private-key: DIR/a.pem: holds a CERTIFICATE"),
    Mistake("tls: { certificate: DIR/text, private-key: DIR/a.key }", "tls.certificate: DIR/text: not PEM"),
    Mistake("tls: { certificate: DIR/a.pem, private-key: DIR/encrypted.key }", "the private key is encrypted"),
    Mistake(
      "tls: { certificate: DIR/none, private-key: DIR/a.key }",
      "tls.certificate: cannot read \"DIR/none\": No such file"),
    Mistake("tls: { certificate: /dev/null, private-key: DIR/a.key }", "not a regular file"),
    Mistake("tls: { minimum-version: \"1.3\" }\nlisteners: [dtls://127.0.0.1:25999]", "tls.minimum-version: is 1.3"),
    Mistake("realm: \"a\\u0301\"", "realm: \"a\u{301}\" is not in the form"),
    Mistake("realms: { \"a\\u0301\": {} }", "is not in the form"),
    Mistake("realms: { other: { users: { \"\\u0007\": x } } }", "realms.other.users"),
    Mistake("realms: { a: { server-names: [x.org] }, b: { server-names: [X.org] } }", "a server name of \"a\" too"),
    Mistake("realms: { " + (0..<256).map { "r\($0): {}" }.joined(separator: ", ") + " }", "the limit is 255"),
    Mistake(
      "relay: { addresses: [" + (0..<65).map { "192.0.2.\($0 + 1)" }.joined(separator: ", ") + "] }", "the limit is 64"),
    Mistake(
      "nat-discovery: { primary: \"0.0.0.0:3478\", alternate: \"127.0.0.1:3479\" }",
      "no address that clients can use"),
    Mistake(
      "nat-discovery: { primary: \"127.0.0.1:3478\", alternate: \"192.0.2.77:3479\" }",
      "nat-discovery.alternate: 192.0.2.77 is on no interface"),
    Mistake(
      "listeners: [udp://192.0.2.77:3478]", "listeners: 192.0.2.77 is on no interface of this host; this host has "),
    Mistake(
      "state-directory: DIR/mistyped/state",
      "state-directory: cannot be used: DIR/mistyped/state: No such file or directory (there is no folder DIR/mistyped)"
    ),
    Mistake("state-directory: DIR/text", "state-directory: cannot be used: DIR/text: Not a directory"),
    Mistake("auth: { store: \"sqlite:DIR/text\" }", "auth.store: "),
    Mistake("auth: { store: \"\" }\nrealms: { other: {} }", "no client could log in"),
  ]

  @Test(
    "check and serve refuse the same configurations with 78, the line and the key", .tags(.slow), arguments: mistakes)
  func refused(mistake: Mistake) throws {
    for command in ["check", "serve"] {
      let result = try run(command, mistake.yaml)
      #expect(result.status == 78, "\(command): \(result.errors)")
      #expect(
        result.errors.contains(mistake.message.replacing("DIR", with: folder.path)), "\(command): \(result.errors)")
      #expect(result.errors.contains("\(folder.path("t.yml")):"), "\(result.errors)")
      #expect(result.output.isEmpty)
    }
    // The check has created nothing.
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("state")).isEmpty)
    #expect(!FileManager.default.fileExists(atPath: folder.path("mistyped")))
  }

  @Test("A reload refuses the same configurations with the same message, and keeps the old one")
  func refusedByReload() throws {
    let basis = """
      listeners: ["udp://127.0.0.1:\(PortBlock.check[0])"]
      relay: { addresses: [127.0.0.1] }
      auth: { users: { alice: secret } }

      """
    func write(_ yaml: String) throws -> String {
      let state = yaml.contains("state-directory") ? "" : "\nstate-directory: DIR/state\n"
      return try folder.write((yaml + state).replacing("DIR", with: folder.path), to: "t.yml")
    }
    let server = try RunningServer(
      port: PortBlock.check[0], users: false, configuration: try write(basis), waitsForLine: false,
      isConfiguredByFile: true)
    func reload() -> String {
      let before = server.logText
      server.send(SIGHUP)
      let end = Date(timeIntervalSinceNow: 5)
      while Date() < end {
        let new = server.logText.dropFirst(before.count)
        if new.contains(" reload-failed ") || new.contains(" reloaded\n") { return String(new) }
        Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(10)))
      }
      return "nothing"
    }
    for mistake in Self.mistakes {
      _ = try write(mistake.yaml)
      // The log escapes quotation marks.
      let log = reload().replacing("\\\"", with: "\"")
      #expect(log.contains(" reload-failed "), "\(mistake.yaml): \(log)")
      #expect(log.contains(mistake.message.replacing("DIR", with: folder.path)), "\(mistake.yaml): \(log)")
    }
    _ = try write(basis)
    #expect(reload().contains(" reloaded\n"))
  }

  static let surprises = [
    Mistake("tls: { minimum-version: \"1.3\" }", "tls.minimum-version: leaves the DTLS listeners out"),
    Mistake(
      "listeners: [\"udp://[::]:3478\"]",
      "listeners: [::] is IPv6 only: IPv4 clients are not served; add udp://0.0.0.0:3478"),
    Mistake(
      "relay: { advertise: { 192.0.2.77: 203.0.113.5 } }", "relay.advertise: 192.0.2.77 is on no interface of this host"
    ),
    Mistake(
      "relay: { addresses: [127.0.0.1], advertise: { 127.0.0.1: 203.0.113.5, 192.0.2.77: 203.0.113.6 } }",
      "relays use 127.0.0.1; this host has "),
    Mistake(
      "relay: { addresses: [127.0.0.1, 127.0.0.2], advertise: 203.0.113.5 }",
      "relay.advertise: clients are told 203.0.113.5 for 127.0.0.1, 127.0.0.2: a NAT sends each port to one of them"),
    Mistake("realm: \(String(repeating: "a", count: 100))", "realm: a 401 has "),
    Mistake(
      "relay: { addresses: [192.0.2.77] }",
      "relay.addresses: 192.0.2.77 is on no interface of this host; relays on it are refused (508)"),
  ].filter { !$0.yaml.contains("[::]") || Interfaces.hasIPv6 }

  @Test("check warns about settings that are valid and probably a mistake", arguments: surprises)
  func warned(mistake: Mistake) throws {
    let result = try run("check", mistake.yaml)
    #expect(result.status == 0)
    #expect(result.errors.hasPrefix("turnpike: warning: \(folder.path("t.yml")):1: "), "\(result.errors)")
    #expect(result.errors.contains(mistake.message), "\(result.errors)")
    #expect(result.errors.count { $0 == "\n" } == 1, "\(result.errors)")
  }

  @Test("check prints the effective listeners: without DTLS if only TLS 1.3 is allowed")
  func effectiveListeners() throws {
    #expect(try run("check", "{}").output.contains("dtls://"))
    #expect(try !run("check", "tls: { minimum-version: \"1.3\" }").output.contains("dtls://"))
  }

  @Test("The start logs the time of a handshake, and warns about an RSA key above 2,048 bits")
  func handshakeCost() throws {
    let (certificate, key) = (folder.path("slow.pem"), folder.path("slow.key"))
    let made = try Child.run(
      "/usr/bin/openssl",
      [
        "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "30", "-subj", "/CN=slow", "-keyout", key, "-out",
        certificate,
      ])
    try #require(made.status == 0, "\(made.errors)")
    let slow = try RunningServer(
      port: PortBlock.check[20], ["tls.certificate=\(certificate)", "tls.private-key=\(key)"])
    #expect(slow.logged(" info handshake-cost microseconds="))
    #expect(slow.logged(" warning certificate-key-slow key=RSA-3072 "))
    let usual = try RunningServer(port: PortBlock.check[21])
    #expect(usual.logged(" info handshake-cost microseconds="))
    #expect(!usual.logged("certificate-key-slow"))
  }

  @Test(
    "check and the start warn about a certificate that has expired or expires within two weeks",
    arguments: [
      (0, "expired on "), (5, "expires in 5 days, on "), (14, "expires in 14 days"), (16, ""),
    ] as [(Int64, String)])
  func expiry(days: Int64, message: String) throws {
    // The age at which a certificate has this many days left.
    let age = SelfSignedCertificate.lifetime - .seconds(days * 86_400 + (days == 0 ? -60 : 60))
    let pair = try SelfSignedCertificate(
      commonName: "old", hostNames: ["old"], addresses: [], now: now.advanced(by: .zero - age))
    let certificate = try folder.write(pair.certificate, to: "old.pem")
    let key = try folder.write(pair.key, to: "old.key")
    // Other modes would cause another warning.
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: key)
    let result = try run("check", "tls: { certificate: \(certificate), private-key: \(key) }")
    #expect(result.status == 0)
    if !message.isEmpty {
      #expect(result.errors.contains("tls.certificate: \(certificate): \(message)"), "\(result.errors)")
    } else {
      #expect(result.errors.isEmpty, "\(result.errors)")
    }
    let port = PortBlock.check[1 + UInt16(days)]
    let server = try RunningServer(port: port, ["tls.certificate=\(certificate)", "tls.private-key=\(key)"])
    let line = days == 0 ? "error certificate-invalid" : "warning certificate-ends-soon"
    #expect(server.logged(line) == !message.isEmpty)
  }
}
