import Foundation
import NetworkTypes
import TestSupport
import Testing

@testable import TLS

@Suite("The cookie of DTLS")
struct HelloCookieTests {
  @Test("The cookie's key computes HMAC-SHA256 (RFC 4231 test cases 1 and 2), again and again")
  func key() {
    let first = HelloCookieKey([UInt8](repeating: 0x0B, count: 20))
    let second = HelloCookieKey(Array("Jefe".utf8))
    for _ in 0..<3 {
      #expect(
        first.authenticate(Array("Hi There".utf8))?.prefix(8) == [0xB0, 0x34, 0x4C, 0x61, 0xD8, 0xDB, 0x38, 0x53])
      #expect(
        second.authenticate(Array("what do ya want for nothing?".utf8))?.prefix(8)
          == [0x5B, 0xDC, 0xC1, 0x46, 0xBF, 0x60, 0x75, 0x4E])
    }
  }
}

@Suite("The memory of an unfinished association")
struct MemoryTests {
  /// An engine after the ClientHello with the cookie: it has sent its flight and waits for the client.
  private final class Unfinished {
    var engine: DTLSEngine

    init(_ context: TLSContext, key: HelloCookieKey) throws {
      var server = try DTLSEngine(server: context, cookieKey: key)
      var client = try DTLSEngine(client: TLSContext(client: .none, isDatagram: true), serverName: "turn.example.org")
      client.handshake()
      for _ in 0..<2 {
        guard let hello = client.takeDatagram() else { break }
        if server.listen(hello.span.rawBytes, from: [1], at: Instant(nanoseconds: 0)) == .verified {
          server.handshake()
        }
        guard let answer = server.takeDatagram() else { break }
        client.receive(answer.span.rawBytes)
        client.handshake()
      }
      while server.takeDatagram() != nil {}
      engine = server
    }
  }

  /// Measures in a process of its own, whose heap has no other user; that process prints the bytes.
  @Test(
    "The charge for an unfinished association is the memory that it needs",
    .enabled(if: !Sanitizer.isOn, "a sanitizer has a heap of its own"))
  func charge() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      let context = try TLSContext(server: Identity().files, isDatagram: true)
      let key = HelloCookieKey([UInt8](repeating: 7, count: 32))
      // OpenSSL loads algorithms when they are first used.
      var kept = [try Unfinished(context, key: key)]
      let count = 200
      let start = heapByteCount()
      for _ in 0..<count { kept.append(try Unfinished(context, key: key)) }
      let unfinished = (heapByteCount() - start) / count
      // A record that is encrypted and cannot be read yet.
      let early: [UInt8] = [22, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 0, 0, 48] + [UInt8](repeating: 9, count: 48)
      for unfinished in kept {
        unfinished.engine.receive(early.span.rawBytes)
        unfinished.engine.handshake()
      }
      let withRecord = (heapByteCount() - start) / count
      FileHandle.standardError.write(Data("bytes \(unfinished) \(withRecord)\n".utf8))
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    let line = try #require(text.split(separator: "\n").last { $0.hasPrefix("bytes ") })
    let bytes = line.split(separator: " ").compactMap { Int($0) }
    try #require(bytes.count == 2)
    #expect(bytes[0] <= DTLSEngine.byteCount && bytes[0] > DTLSEngine.byteCount / 2, "\(bytes)")
    let record = bytes[1] - bytes[0]
    #expect(
      record <= DTLSEngine.recordBufferByteCount && record > DTLSEngine.recordBufferByteCount / 2, "\(bytes)")
  }
}
