import Foundation
import NetworkTypes
import Testing
import TestSupport
import TLS

@Suite("Certificate files")
struct CertificateFilesTests {
  @Test("A matching pair is read and described")
  func pair() throws {
    let identity = try Identity()
    #expect(identity.files.chainLength == 1)
    #expect(identity.files.leaf.subject == "CN=turnpike")
    #expect(identity.files.leaf.fingerprint.count == 64)
    #expect(identity.files.leaf.validityError(now: realNow(), file: "chain") == nil)
    #expect(
      identity.files.leaf.notAfter.duration(since: identity.files.leaf.notBefore) == SelfSignedCertificate.lifetime
        + .seconds(86_400))
  }

  @Test("Each error names the file and its fault")
  func mistakes() throws {
    let a = try Identity().selfSigned
    let b = try Identity().selfSigned
    let text = Array("hello\n".utf8)
    let broken = Array("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8)
    let brokenKey = Array("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".utf8)
    let encrypted = Array("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".utf8)
    let oldEncrypted = Array(
      """
      -----BEGIN RSA PRIVATE KEY-----
      Proc-Type: 4,ENCRYPTED
      DEK-Info: AES-128-CBC,9F8FC44CFCBE54DD4C488AE7BADA46C0

      AAAA
      -----END RSA PRIVATE KEY-----

      """.utf8)
    let cases: [([UInt8], [UInt8], String)] = [
      (text, a.key, "c.pem: not PEM: there is no line -----BEGIN CERTIFICATE-----"),
      ([], a.key, "c.pem: not PEM: there is no line -----BEGIN CERTIFICATE-----"),
      (a.key, a.key, "c.pem: holds a PRIVATE KEY, not a CERTIFICATE"),
      (a.certificate, text, "k.pem: not PEM: there is no line -----BEGIN PRIVATE KEY-----"),
      (a.certificate, a.certificate, "k.pem: holds a CERTIFICATE, not a PRIVATE KEY"),
      (a.certificate, b.key, "k.pem: does not belong to the first certificate of c.pem"),
      (a.certificate, encrypted, "k.pem: the private key is encrypted; a key without passphrase is needed"),
      (a.certificate, oldEncrypted, "k.pem: the private key is encrypted; a key without passphrase is needed"),
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

  @Test("A missing file is an error with the system's reason")
  func missingFile() throws {
    let error = try #require(throws: CertificateError.self) {
      try CertificateFiles(chain: .path("/nonexistent/c.pem"), key: .path("/nonexistent/k.pem"))
    }
    #expect(error.description == "/nonexistent/k.pem: can't be read: No such file or directory")
  }

  @Test("Files on disk are read")
  func files() throws {
    let identity = try Identity()
    let folder = try TemporaryDirectory()
    // A chain of two with text between them, as some certificate authorities deliver it.
    let other = try Identity().selfSigned
    let chain = try folder.write(
      identity.selfSigned.certificate + Array("issuer\n".utf8) + other.certificate, to: "c.pem")
    let key = try folder.write(identity.selfSigned.key, to: "k.pem")
    let files = try CertificateFiles(chain: .path(chain), key: .path(key))
    #expect(files.chainLength == 2)
    #expect(files.leaf == identity.files.leaf)
    _ = try TLSContext(server: files)
  }

  @Test("Validity is checked for the given time")
  func validity() throws {
    let leaf = try Identity().files.leaf
    #expect(leaf.validityError(now: leaf.notAfter, file: "c") == nil)
    #expect(
      leaf.validityError(now: leaf.notAfter.advanced(by: .seconds(1)), file: "c")
        == .expired(file: "c", notAfter: leaf.notAfter))
    #expect(
      leaf.validityError(now: leaf.notBefore.advanced(by: .seconds(-1)), file: "c")
        == .notYetValid(file: "c", notBefore: leaf.notBefore))
    #expect(leaf.daysLeft(now: leaf.notAfter.advanced(by: .seconds(-86_400))) == 1)
    #expect(leaf.daysLeft(now: leaf.notAfter.advanced(by: .seconds(1))) == -1)
    #expect(
      CertificateError.expired(file: "c.pem", notAfter: UnixTime(seconds: 1_700_000_000)).description
        == "c.pem: expired on 2023-11-14 22:13:20 UTC")
  }

  @Test(
    "An invalid name makes no certificate",
    arguments: ["", "a,b", "a b", "a:b", "a\nb", "DNS:evil", String(repeating: "a", count: 254), "ex*mple.org"])
  func invalidName(name: String) {
    #expect(throws: CertificateError.invalidName(name)) {
      try SelfSignedCertificate(
        commonName: "x", hostNames: [name], addresses: [], now: UnixTime(seconds: 1_700_000_000))
    }
  }
}
