import Crypto
import NetworkTypes
import STUN
import TestSupport

/// Messages of other implementations, which Tests/Corpora/record.py has recorded. Each message has a description that
/// the script's own Python decoder made.
struct Corpus {
  struct Message: Sendable {
    /// `Allocate request over UDP`, then each attribute with its value, in order.
    var lines: [String]
    var bytes: [UInt8]
  }

  /// The recorded clients.
  static let clients = ["aiortc", "chromium", "coturn", "firefox", "libnice", "pion"]

  static let username = Array("alice".utf8)
  static let realm = Array("turnpike".utf8)
  static let password = Array("correct horse".utf8)

  var messages: [Message] = []

  init(_ client: String) throws {
    let text = try Paths.text("Tests/Corpora/requests/\(client).txt")
    var message = Message(lines: [], bytes: [])
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) where !line.hasPrefix("#") {
      if line.hasPrefix("  = ") {
        message.bytes += try bytes(hexadecimal: line.dropFirst(4))
      } else if !line.isEmpty {
        message.lines.append(String(line))
      } else if !message.lines.isEmpty {
        messages.append(message)
        message = Message(lines: [], bytes: [])
      }
    }
  }

  /// The messages of all clients, and the ICE checks that they send to peers in DATA.
  static func seeds() throws -> [[UInt8]] {
    var seeds: [[UInt8]] = []
    for client in clients {
      for message in try Corpus(client).messages {
        seeds.append(message.bytes)
        let view = try MessageView(message.bytes.span.rawBytes)
        if let data = view.value(of: .data), data.byteCount >= 20, data.bigEndian32(at: 4) == magicCookie {
          seeds.append(data.copied())
        }
      }
    }
    return seeds
  }

  struct Unreadable: Error {
    var text: String
  }

  private func bytes(hexadecimal text: Substring) throws -> [UInt8] {
    let digits = text.compactMap { $0.hexDigitValue.map { UInt8($0) } }
    guard digits.count == text.count, digits.count % 2 == 0 else { throw Unreadable(text: String(text)) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}
