internal import COpenSSL

/// The ALPN labels of RFC 7443.
public enum ApplicationProtocol: String, Hashable, Sendable, CaseIterable {
  case turn = "stun.turn"
  case natDiscovery = "stun.nat-discovery"

  /// Makes a server select the first of its labels that the client offers, and continue without a label otherwise:
  /// clients also offer unrelated labels (`webrtc`, `h2`) and must not be refused for that.
  static func choose(on context: OpaquePointer) {
    unsafe SSL_CTX_set_alpn_select_cb(
      context,
      { _, chosen, chosenLength, offered, offeredLength, _ in
        let labels = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredLength))
        for label in ApplicationProtocol.allCases {
          guard let range = unsafe label.find(in: labels), let base = labels.baseAddress else { continue }
          unsafe chosen?.pointee = base + range.lowerBound
          unsafe chosenLength?.pointee = UInt8(range.count)
          return SSL_TLSEXT_ERR_OK
        }
        return SSL_TLSEXT_ERR_NOACK
      }, nil)
  }

  /// The range of the label in a list of labels, each with its length before it.
  private func find(in labels: UnsafeBufferPointer<UInt8>) -> Range<Int>? {
    var index = 0
    while index < labels.count {
      let start = index + 1
      let end = unsafe start + Int(labels[index])
      guard end <= labels.count else { return nil }
      if unsafe labels[start..<end].elementsEqual(rawValue.utf8) { return start..<end }
      index = end
    }
    return nil
  }

  /// The label as an entry of a list of labels: its length, then its bytes.
  var listEntry: [UInt8] { [UInt8(rawValue.utf8.count)] + Array(rawValue.utf8) }
}
