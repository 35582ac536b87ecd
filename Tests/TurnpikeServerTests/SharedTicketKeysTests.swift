import NetworkTypes
import Testing

@testable internal import TLS
@testable internal import TurnpikeServer

@Suite("The keys of TLS session tickets")
struct SharedTicketKeysTests {
  private func files(_ name: String) throws -> CertificateFiles {
    let pair = try SelfSignedCertificate(
      commonName: name, hostNames: [name], addresses: [], now: UnixTime(seconds: 1_800_000_000))
    return try CertificateFiles(
      chain: .bytes(pair.certificate, name: name), key: .bytes(pair.key, name: "the key of \(name)"))
  }

  @Test("They stay while certificates and authorities are the same and no new keys are due")
  func keys() throws {
    let (first, second) = (try files("first"), try files("second"))
    let authority = PEMSource.bytes([1], name: "ca.pem")
    var shared = SharedTicketKeys()
    var known: [[UInt8]] = []
    /// Whether the keys for these certificates are those of the last call; other keys must be new ones.
    func stay(_ certificates: ServerCertificates) -> Bool {
      let bytes = shared.keys(for: certificates).bytes
      defer { known.append(bytes) }
      if bytes == known.last { return true }
      #expect(!known.contains(bytes))
      return false
    }
    #expect(!stay(ServerCertificates(standard: first)))
    #expect(stay(ServerCertificates(standard: first)))
    #expect(!stay(ServerCertificates(standard: first, others: [second])))
    #expect(stay(ServerCertificates(standard: first, others: [second])))
    #expect(!stay(ServerCertificates(standard: second)))
    #expect(!stay(ServerCertificates(standard: second, clientAuthorities: authority)))
    #expect(stay(ServerCertificates(standard: second, clientAuthorities: authority)))
    #expect(!stay(ServerCertificates(standard: second, clientAuthorities: .bytes([2], name: "ca.pem"))))
    #expect(!stay(ServerCertificates(standard: second)))
    shared.areOld = true
    #expect(!stay(ServerCertificates(standard: second)))
    #expect(stay(ServerCertificates(standard: second)))
  }
}
