public import NetworkTypes
internal import TURN

/// The answer of a cloud's metadata service: the public IPv4 address and nothing else. It is read strictly, because
/// another service may answer at the link-local address.
public enum MetadataAnswer {
  /// Limits of an answer, in bytes: of one with an address, and of one with a token.
  public static let addressLimit = 64
  public static let tokenLimit = 1024

  /// A reason of one line, without bytes of the answer.
  public struct Problem: Error, Equatable {
    public var text: String

    init(_ text: String) { self.text = text }
  }

  /// The address of a document; nil if it is empty: the machine has no public address.
  public static func address(in body: [UInt8]) throws(Problem) -> IPAddress? {
    guard body.count <= addressLimit else { throw Problem("the answer is too long for an address") }
    var text = body[...]
    if text.last == UInt8(ascii: "\n") { text.removeLast() }
    if text.last == UInt8(ascii: "\r") { text.removeLast() }
    if text.isEmpty { return nil }
    let isPlain = text.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".") }
    guard isPlain, let address = IPAddress(String(decoding: text, as: UTF8.self)), address.family == .ipv4 else {
      throw Problem("the answer is no IPv4 address")
    }
    guard PeerRules().permits(address) else { throw Problem("the answer \(address) is no public address") }
    return address
  }

  /// The token of Amazon's service, which the next request has in a header; nil if the answer is no token.
  public static func token(in body: [UInt8]) -> String? {
    // Other characters could add header lines to the next request.
    guard !body.isEmpty, body.count <= tokenLimit, body.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
    return String(decoding: body, as: UTF8.self)
  }
}
