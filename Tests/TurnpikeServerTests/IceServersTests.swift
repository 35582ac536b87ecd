internal import Configuration
internal import Foundation
internal import NetworkTypes
internal import Testing
internal import TestSupport
internal import TurnpikeServer

@Suite("URLs for browsers")
struct IceServersTests {
  private let addresses = [IPAddress(203, 0, 113, 5), IPAddress(ipv6High: 0x2001_0DB8 << 32, low: 1)]

  private func urls(_ names: HostNames, of listeners: [Settings.Listener] = Settings.availableDefaultListeners)
    -> [String]
  {
    IceServers.urls(listeners: listeners, reachableAddresses: addresses, names: names)
  }

  @Test("Without a name stun and turn have addresses of both families; turns, which browsers refuse, is omitted")
  func addressesOnly() {
    #expect(
      urls(HostNames()) == [
        "stun:203.0.113.5:3478", "turn:203.0.113.5:3478?transport=udp", "turn:203.0.113.5:3478?transport=tcp",
        "stun:[2001:db8::1]:3478", "turn:[2001:db8::1]:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp",
      ])
  }

  @Test("With the certificate's name there is one turns URL")
  func certificateName() {
    let secure = urls(HostNames(ofCertificate: "turn.example.org")).filter { $0.hasPrefix("turns:") }
    #expect(secure == ["turns:turn.example.org:5349?transport=tcp"])
  }

  @Test("With public-name all URLs have the name, none is repeated, and turns needs a certificate")
  func publicName() {
    let plain = [
      "stun:relay.example:3478", "turn:relay.example:3478?transport=udp", "turn:relay.example:3478?transport=tcp",
    ]
    #expect(urls(HostNames(everywhere: "relay.example")) == plain)
    #expect(
      urls(HostNames(everywhere: "relay.example", ofCertificate: "relay.example"))
        == plain + ["turns:relay.example:5349?transport=tcp"])
  }

  @Test("The URL of a listener on one address has that address")
  func oneAddress() {
    let listener = Settings.Listener(transport: .udp, address: SocketAddress(IPAddress(192, 0, 2, 7), port: 3479))
    #expect(urls(HostNames(), of: [listener]) == ["stun:192.0.2.7:3479", "turn:192.0.2.7:3479?transport=udp"])
  }

  /// Makes a certificate for `names` with openssl(1), self-signed or signed by an authority.
  private func certificate(_ names: [String], isSelfSigned: Bool, in directory: TemporaryDirectory) throws -> String {
    func openssl(_ arguments: [String]) throws {
      let run = try Child.run("/usr/bin/openssl", arguments)
      try #require(run.status == 0, "\(run.errors)")
    }
    let (key, certificate) = (directory.path("key.pem"), directory.path("chain.pem"))
    let alternatives = "subjectAltName=" + names.map { "DNS:\($0)" }.joined(separator: ",")
    let made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    var arguments =
      ["req", "-x509", "-subj", "/CN=leaf", "-keyout", key, "-out", certificate, "-addext", alternatives] + made
    if !isSelfSigned {
      let (caKey, ca) = (directory.path("ca-key.pem"), directory.path("ca.pem"))
      try openssl(["req", "-x509", "-subj", "/CN=authority", "-keyout", caKey, "-out", ca] + made)
      let request = directory.path("request.pem")
      try openssl(
        ["req", "-new", "-subj", "/CN=leaf", "-keyout", key, "-out", request, "-addext", alternatives]
          + made.dropLast(2))
      arguments = [
        "x509", "-req", "-in", request, "-CA", ca, "-CAkey", caKey, "-CAcreateserial", "-copy_extensions", "copy",
        "-days", "30", "-out", certificate,
      ]
    }
    try openssl(arguments)
    return certificate
  }

  @Test(
    "Names come from the configuration and its certificate",
    arguments: [
      (names: ["turn.example.org", "www.example.org"], isSelfSigned: false, given: "", expected: "turn.example.org"),
      (names: ["*.example.org", "turn.example.org"], isSelfSigned: false, given: "", expected: "turn.example.org"),
      (names: ["*.example.org"], isSelfSigned: false, given: "", expected: nil),
      (names: ["*.example.org"], isSelfSigned: false, given: "eu.example.org", expected: "eu.example.org"),
      (names: ["turn.example.org"], isSelfSigned: true, given: "turn.example.org", expected: nil),
    ] as [(names: [String], isSelfSigned: Bool, given: String, expected: String?)])
  func hostNames(names: [String], isSelfSigned: Bool, given: String, expected: String?) throws {
    let directory = try TemporaryDirectory()
    var settings = Settings()
    settings.publicName = given
    settings.tls.certificate = try certificate(names, isSelfSigned: isSelfSigned, in: directory)
    #expect(HostNames(settings) == HostNames(everywhere: given.isEmpty ? nil : given, ofCertificate: expected))
  }

  @Test("Without a readable certificate there is no name from it")
  func noCertificate() {
    var settings = Settings()
    #expect(HostNames(settings) == HostNames())
    settings.tls.certificate = "/nonexistent/chain.pem"
    settings.publicName = "relay.example"
    #expect(HostNames(settings) == HostNames(everywhere: "relay.example"))
  }
}
