internal import Log
internal import NetworkTypes
internal import TURN

/// Users and addresses in log lines at `info`, in the form that `log.privacy` requires.
struct PrivacyText {
  var privacy: LogPrivacy

  /// A user's name; truncated: its first two characters. A time-limited name also keeps its expiry.
  func user(_ name: [UInt8]) -> LogValue {
    let text = String(decoding: name, as: UTF8.self)
    switch privacy {
    case .full: return .text(text)
    case .none: return .text("")
    case .truncated:
      let expiry = text.prefix { $0.isASCII && $0.isNumber }
      let rest = text.dropFirst(expiry.count)
      if !expiry.isEmpty, rest.first == ":" { return .text(expiry + ":" + Self.beginning(rest.dropFirst())) }
      return .text(!expiry.isEmpty && rest.isEmpty ? text : Self.beginning(text[...]))
    }
  }

  private static func beginning(_ name: Substring) -> String { name.count > 2 ? name.prefix(2) + "…" : String(name) }

  func user(_ user: UserReference) -> LogValue { self.user(Array(Self.text(user).utf8)) }

  /// The name of a user, or the USERHASH of an unknown one.
  static func text(_ user: UserReference) -> String {
    switch user {
    case .name(let name): String(decoding: name, as: UTF8.self)
    case .hash(let hash): "userhash:" + Hexadecimal.text(hash)
    }
  }

  /// A client's address with its port; truncated: its /24 or /48 network.
  func client(_ address: SocketAddress) -> LogValue {
    switch privacy {
    case .full: "\(address)"
    case .none: ""
    case .truncated:
      "\(CIDRBlock(address.address, prefixLength: address.family == .ipv4 ? 24 : 48))"
    }
  }

  /// An address that an operator needs in order to ban a client or to see what a rule refused.
  func needed(_ address: String) -> LogValue { privacy == .none ? "" : .text(address) }
}
