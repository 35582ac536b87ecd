import Foundation
import NetworkTypes
import TLS
import TestSupport
import Testing

@Suite("Certificate files")
struct CertificateFilesTests {
  @Test func `A pair that belongs together is read and described`() throws {
    let identity = try Identity()
    #expect(identity.files.chainLength == 1)
    #expect(identity.files.leaf.subject == "CN=turnpike")
    #expect(identity.files.leaf.fingerprint.count == 64)
    #expect(identity.files.leaf.validityError(now: realNow(), file: "chain") == nil)
    #expect(
      identity.files.leaf.notAfter - identity.files.leaf.notBefore == SelfSignedCertificate.lifetime + 86_400)
  }

  @Test func `Each mistake names the file and what is wrong with it`() throws {
    let a = try Identity().selfSigned
    let b = try Identity().selfSigned
    let text = Array("hello\n".utf8)
    let broken = Array("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8)
    let brokenKey = Array("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".utf8)
    let encrypted = Array("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".utf8)
    let cases: [([UInt8], [UInt8], String)] = [
      (text, a.key, "c.pem: not PEM: there is no line -----BEGIN CERTIFICATE-----"),
      ([], a.key, "c.pem: not PEM: there is no line -----BEGIN CERTIFICATE-----"),
      (a.key, a.key, "c.pem: holds a PRIVATE KEY, not a CERTIFICATE"),
      (a.certificate, text, "k.pem: not PEM: there is no line -----BEGIN PRIVATE KEY-----"),
      (a.certificate, a.certificate, "k.pem: holds a CERTIFICATE, not a PRIVATE KEY"),
      (a.certificate, b.key, "k.pem: does not belong to the first certificate of c.pem"),
      (a.certificate, encrypted, "k.pem: the private key is encrypted; a key without passphrase is needed"),
    ]
    for (chain, key, message) in cases {
      let error = try #require(throws: CertificateError.self) {
        try CertificateFiles(chain: pem(chain, "c.pem"), key: pem(key, "k.pem"))
      }
      #expect(error.description == message)
    }
    let malformed = try #require(throws: CertificateError.self) {
      try CertificateFiles(chain: pem(broken, "c.pem"), key: pem(a.key, "k.pem"))
    }
    #expect(malformed.description.hasPrefix("c.pem: PEM, but its content can't be read: "))
    let malformedKey = try #require(throws: CertificateError.self) {
      try CertificateFiles(chain: pem(a.certificate, "c.pem"), key: pem(brokenKey, "k.pem"))
    }
    #expect(malformedKey.description.hasPrefix("k.pem: PEM, but its content can't be read: "))
  }

  @Test func `A missing file is named with the system's reason`() throws {
    let error = try #require(throws: CertificateError.self) {
      try CertificateFiles(chain: .path("/nonexistent/c.pem"), key: .path("/nonexistent/k.pem"))
    }
    #expect(error.description == "/nonexistent/k.pem: can't be read: No such file or directory")
  }

  @Test func `Files on disk are read`() throws {
    let identity = try Identity()
    let folder = try TemporaryDirectory()
    // A chain of two, with text between as certificate authorities deliver it.
    let other = try Identity().selfSigned
    let chain = try folder.write(
      identity.selfSigned.certificate + Array("issuer\n".utf8) + other.certificate, to: "c.pem")
    let key = try folder.write(identity.selfSigned.key, to: "k.pem")
    let files = try CertificateFiles(chain: .path(chain), key: .path(key))
    #expect(files.chainLength == 2)
    #expect(files.leaf == identity.files.leaf)
    _ = try TLSContext(server: files)
  }

  @Test func `Validity is judged by the time given`() throws {
    let leaf = try Identity().files.leaf
    #expect(leaf.validityError(now: leaf.notAfter, file: "c") == nil)
    #expect(leaf.validityError(now: leaf.notAfter + 1, file: "c") == .expired(file: "c", notAfter: leaf.notAfter))
    #expect(
      leaf.validityError(now: leaf.notBefore - 1, file: "c") == .notYetValid(file: "c", notBefore: leaf.notBefore))
    #expect(leaf.daysLeft(now: leaf.notAfter - 86_400) == 1)
    #expect(leaf.daysLeft(now: leaf.notAfter + 1) == -1)
    #expect(
      CertificateError.expired(file: "c.pem", notAfter: 1_700_000_000).description
        == "c.pem: expired on 2023-11-14 22:13:20 UTC")
  }

  @Test(arguments: ["", "a,b", "a b", "a:b", "a\nb", "DNS:evil", String(repeating: "a", count: 254), "ex*mple.org"])
  func `A name that is none makes no certificate`(name: String) {
    #expect(throws: CertificateError.invalidName(name)) {
      try SelfSignedCertificate(commonName: "x", hostNames: [name], addresses: [], now: 1_700_000_000)
    }
  }

  @Test(
    arguments: [
      (0, "1970-01-01 00:00:00 UTC"), (951_782_400, "2000-02-29 00:00:00 UTC"), (-1, "1969-12-31 23:59:59 UTC"),
      (4_102_444_799, "2099-12-31 23:59:59 UTC"),
    ] as [(Int64, String)])
  func `Dates are written as civil time`(seconds: Int64, text: String) {
    #expect(CivilTime.text(unixSeconds: seconds) == text)
    _ = CivilTime.text(unixSeconds: .min) + CivilTime.text(unixSeconds: .max)
  }
}
