import NetworkTypes
import Testing
import TLS

@Suite("Certificate verification by the client")
struct VerificationTests {
  struct Refusal: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let name: String
    var age: Int64 = 0
    var isTrusted = true
    let reason: String
  }

  static let refusals = [
    Refusal(testDescription: "another host name", name: "turn.example.com", reason: "hostname mismatch"),
    Refusal(testDescription: "two labels under a wildcard", name: "a.b.example.net", reason: "hostname mismatch"),
    Refusal(testDescription: "another address", name: "127.0.0.2", reason: "IP address mismatch"),
    Refusal(
      testDescription: "expired", name: "127.0.0.1", age: 11 * 365 * 86_400, reason: "certificate has expired"),
    Refusal(
      testDescription: "not yet valid", name: "127.0.0.1", age: -3 * 86_400, reason: "certificate is not yet valid"),
    Refusal(testDescription: "self-signed", name: "127.0.0.1", isTrusted: false, reason: "self-signed certificate"),
  ]

  @Test("A wrong certificate is refused with its reason and still described", arguments: refusals)
  func refused(refusal: Refusal) throws {
    let identity = try Identity(now: realNow().advanced(by: .seconds(-refusal.age)))
    let other = try Identity()
    let trusted = refusal.isTrusted ? identity : other
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    var client = try TLSEngine(client: TLSContext(client: trusted.authorities), serverName: refusal.name)
    exchange(&client, &server)
    #expect(client.failure == TLSError(.certificate, refusal.reason))
    #expect(client.summary.certificate?.subject == "CN=turnpike")
    // The server gets the cause from the alert.
    #expect(server.failure?.cause == .certificate)
  }

  @Test("Without verification the connection works, and the verdict can be read", arguments: refusals)
  func unverified(refusal: Refusal) throws {
    let identity = try Identity(now: realNow().advanced(by: .seconds(-refusal.age)))
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    var client = try TLSEngine(client: TLSContext(client: .none), serverName: refusal.name)
    exchange(&client, &server)
    #expect(client.isEstablished && server.isEstablished)
    #expect(client.summary.complaint != nil)
  }
}
