internal import NetworkTypes

/// The beginning of a proxy's connection. A verdict must not depend on how the bytes are divided.
enum ProxyHeaderFuzz {
  static func problem(with bytes: [UInt8]) -> String? {
    let whole = ProxyHeader(bytes.span.rawBytes)
    switch whole {
    case .incomplete(let least):
      guard least > bytes.count, least <= ProxyHeader.limit else { return "waits for \(least) of \(bytes.count) bytes" }
    case .local(let count), .proxied(_, _, let count):
      guard (16...min(bytes.count, ProxyHeader.limit)).contains(count) else { return "a header of \(count) bytes" }
      if ProxyHeader(Array(bytes[..<count]).span.rawBytes) != whole { return "the bytes after the header matter" }
      guard case .incomplete = ProxyHeader(Array(bytes[..<(count - 1)]).span.rawBytes) else {
        return "one byte less is enough"
      }
    case .invalid: break
    }
    if case .proxied(let source, _, _) = whole, source.port == 0 || source.address.isUnspecified {
      return "a client without an address"
    }
    for count in 0..<min(bytes.count, 64) {
      switch ProxyHeader(Array(bytes[..<count]).span.rawBytes) {
      case .incomplete: continue
      case let early:
        return early == whole || isVersion1(early, whole) ? nil : "\(early) of \(count) bytes, then \(whole)"
      }
    }
    return nil
  }

  /// The first bytes may look like version 1 although the whole text does not.
  private static func isVersion1(_ early: ProxyHeader, _ whole: ProxyHeader) -> Bool {
    early == .invalid(.version1) && whole == .invalid(.noHeader)
  }
}
