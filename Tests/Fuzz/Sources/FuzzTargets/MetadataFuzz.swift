import NetworkTypes
import TurnpikeServer

/// The answers of a cloud's metadata service. They give a public IPv4 address that is exactly the text, a token that can
/// stand in a header, or a reason of one line.
enum MetadataFuzz {
  static func problem(with bytes: [UInt8]) -> String? {
    if let token = MetadataAnswer.token(in: bytes), !token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
      return "a token that no header may contain: \(token)"
    }
    do throws(MetadataAnswer.Problem) {
      guard let address = try MetadataAnswer.address(in: bytes) else { return bytes.count <= 2 ? nil : "nothing" }
      let text = Array("\(address)".utf8)
      return address.family == .ipv4 && bytes.starts(with: text) && bytes.count - text.count <= 2 ? nil : "\(address)"
    } catch {
      return error.text.isEmpty || error.text.contains("\n") ? "refused with \(error.text)" : nil
    }
  }
}
