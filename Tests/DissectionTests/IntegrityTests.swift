import Crypto
import Dissection
import NetworkTypes
import Testing

@Suite("Integrity of explained messages")
struct IntegrityTests {
  private static let realm = Array("example.org".utf8)
  private static let password = Array("secret".utf8)

  private static func message(_ type: UInt16, transaction: UInt8, _ attributes: [UInt8], room: Int = 0) -> [UInt8] {
    let length = attributes.count + room
    return [UInt8(type >> 8), UInt8(type & 0xFF), UInt8(length >> 8), UInt8(length & 0xFF), 0x21, 0x12, 0xA4, 0x42]
      + [UInt8](repeating: transaction, count: 12) + attributes
  }

  private static func attribute(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
    [0, type, 0, UInt8(value.count)] + value + [UInt8](repeating: 0, count: -value.count & 3)
  }

  /// A Refresh request with USERNAME and REALM.
  private static func request(of user: String, transaction: UInt8) -> [UInt8] {
    message(0x0004, transaction: transaction, attribute(0x06, Array(user.utf8)) + attribute(0x14, realm))
  }

  /// The success response, signed with a user's key.
  private static func response(transaction: UInt8, signedFor user: String) -> [UInt8] {
    let key = LongTermKey.md5(username: Array(user.utf8), realm: realm, password: password).array
    let lifetime = attribute(0x0D, [0, 0, 2, 0x58])
    var context = HMACContext(.sha1)
    let covered = message(0x0104, transaction: transaction, lifetime, room: 24)
    let mac = context.authenticate(covered.span.rawBytes, key: key.span.rawBytes).array
    return covered + attribute(0x08, mac)
  }

  @Test("A response is checked with the key of the user of its own request")
  func responseKey() {
    var dissector = Dissector(source: IntegritySource(passwords: [Self.password]))
    _ = dissector.dissect(datagram: Self.request(of: "alice", transaction: 1))
    _ = dissector.dissect(datagram: Self.request(of: "bob", transaction: 2))
    func isRight(_ transaction: UInt8, _ user: String) -> Bool? {
      let found = dissector.dissect(datagram: Self.response(transaction: transaction, signedFor: user))
      return found.isIntegrityRight
    }
    // The last request came from Bob, and both users have the same password.
    #expect(isRight(1, "alice") == true)
    #expect(isRight(2, "bob") == true)
    #expect(isRight(1, "bob") == false)
    #expect(isRight(2, "alice") == false)
    // For an unknown request the last user is assumed.
    #expect(isRight(3, "bob") == true)
  }
}
