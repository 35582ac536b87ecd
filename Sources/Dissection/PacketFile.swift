internal import CPcap

/// A frame as it was captured.
public struct CapturedFrame: Sendable {
  /// The time since 1970, with the capture's resolution.
  public var time: Duration
  /// libpcap's number of the link layer.
  public var linkType: Int32
  /// The captured bytes, from the link layer on.
  public var bytes: [UInt8]
  /// The length of the whole frame, before truncation.
  public var originalByteCount: Int
}

/// The reason why a capture cannot be read, in libpcap's words.
public struct CaptureError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
}

/// Reads the frames of a capture, one after another: of a pcap file by libpcap, of a pcapng file block by block.
@safe
public struct PacketFile: ~Copyable {
  /// Nil: a pcapng file, which `blocks` reads.
  private let handle: OpaquePointer?
  private let linkType: Int32
  private var blocks: CaptureBlocks?

  /// The first bytes of capture files: pcap in both byte orders and resolutions, and pcapng.
  private static let magics: Set<[UInt8]> = [
    [0xA1, 0xB2, 0xC3, 0xD4], [0xD4, 0xC3, 0xB2, 0xA1], [0xA1, 0xB2, 0x3C, 0x4D], [0x4D, 0x3C, 0xB2, 0xA1],
    CaptureBlocks.magic,
  ]

  /// Whether a capture file begins with these bytes.
  public static func begins(_ bytes: some Collection<UInt8>) -> Bool { magics.contains(Array(bytes.prefix(4))) }

  /// Opens a capture in memory.
  public init(_ bytes: [UInt8]) throws(CaptureError) {
    if bytes.starts(with: CaptureBlocks.magic) {
      blocks = try CaptureBlocks(bytes)
      unsafe handle = nil
      linkType = 0
      return
    }
    var complaint = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
    // A stream over our own copy: libpcap closes it with its handle, and cannot read beyond the end.
    guard let stream = unsafe fmemopen(nil, max(bytes.count, 1), "w+") else {
      throw CaptureError(description: "no memory for the capture")
    }
    let written = unsafe bytes.withUnsafeBytes { unsafe fwrite($0.baseAddress, 1, $0.count, stream) }
    unsafe rewind(stream)
    guard written == bytes.count,
      let handle = unsafe pcap_fopen_offline_with_tstamp_precision(
        stream, UInt32(PCAP_TSTAMP_PRECISION_NANO), &complaint)
    else {
      _ = unsafe fclose(stream)
      throw CaptureError(description: Self.text(complaint))
    }
    unsafe self.handle = handle
    linkType = unsafe pcap_datalink(handle)
  }

  deinit { if let handle = unsafe handle { unsafe pcap_close(handle) } }

  /// The next frame; nil at the end.
  public mutating func next() throws(CaptureError) -> CapturedFrame? {
    guard let handle = unsafe handle else { return try blocks?.next() }
    var header: UnsafeMutablePointer<pcap_pkthdr>?
    var data: UnsafePointer<UInt8>?
    switch unsafe pcap_next_ex(handle, &header, &data) {
    case 1:
      guard let header = unsafe header?.pointee, let data = unsafe data else { return nil }
      // Sound: libpcap returns `caplen` bytes, valid until the next call.
      let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: Int(header.caplen)))
      return CapturedFrame(
        time: .seconds(header.ts.tv_sec) + .nanoseconds(header.ts.tv_usec), linkType: linkType, bytes: bytes,
        originalByteCount: Int(header.len))
    case PCAP_ERROR_BREAK: return nil
    default:
      guard let complaint = unsafe pcap_geterr(handle) else {
        throw CaptureError(description: "the capture is damaged")
      }
      throw CaptureError(description: unsafe String(cString: complaint))
    }
  }

  private static func text(_ complaint: [CChar]) -> String {
    String(decoding: complaint.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
