internal import CLinux
public import NetworkTypes

/// A batch of datagrams to send, over any number of sockets, with few system calls: datagrams of one size to one
/// destination are sent as one message that the kernel splits (UDP_SEGMENT), and messages of one socket in one call.
///
/// Payloads stay in the slots of `PacketBuffers`, which must not be overwritten before `flush`. The order is kept for
/// each destination.
@safe
public struct SendBatch: ~Copyable {
  /// The largest number of datagrams.
  public let capacity: Int
  /// The number of datagrams in the batch.
  public internal(set) var count = 0
  /// The number of datagrams that the kernel refused. An error affects only its own datagram.
  public internal(set) var failures: UInt64 = 0
  /// The number of datagrams dropped because the socket's buffer was full.
  public internal(set) var overflows: UInt64 = 0
  /// The number of messages that the kernel refused to split. Datagrams of their routes are then sent singly.
  public internal(set) var refusedRuns: UInt64 = 0

  /// One datagram.
  struct Entry: BitwiseCopyable {
    var route: UInt64
    var descriptor: Int32
    /// Prefix, payload and padding together.
    var byteCount: Int32
    var payloadByteCount: Int32
    var prefixByteCount: UInt8
    var paddingByteCount: UInt8
    var nameByteCount: UInt8
    var hasSource: Bool
    var trafficClass: UInt8
    /// The next datagram of the same route; -1 in the last.
    var next: Int32
    var source: IPAddress
  }

  // This value alone owns the memory of these pointers and frees it in deinit. Entries, names, prefixes and payloads
  // have `capacity` elements; headers and controls have one for each message, at most as many; vectors have three for
  // each entry.
  let entries: UnsafeMutablePointer<Entry>
  let payloads: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  let names: UnsafeMutableRawPointer
  let prefixes: UnsafeMutableRawPointer
  let zeros: UnsafeMutableRawPointer
  let headers: UnsafeMutablePointer<mmsghdr>
  let messages: UnsafeMutablePointer<(first: Int32, count: Int32)>
  let vectors: UnsafeMutablePointer<iovec>
  let controls: UnsafeMutableRawPointer
  /// First and last entry of each route of the batch, found by hash; `stamp` identifies the flush of an entry.
  let routes: UnsafeMutablePointer<(route: UInt64, stamp: UInt64, first: Int32, last: Int32)>
  let order: UnsafeMutablePointer<Int32>
  var routeCount = 0
  var stamp: UInt64 = 1
  let routeMask: Int
  /// Routes whose runs the kernel refused; a small ring.
  var unsegmented: [UInt64] = []
  var nextUnsegmented = 0

  /// DSCP and ECN of the datagrams that are added next (the IPv4 TOS byte, the IPv6 traffic class); 0: the socket's
  /// default.
  public var trafficClass: UInt8 = 0

  static let nameStride = 32
  static let prefixStride = 64
  static let controlStride = 96

  let mergesRuns: Bool

  /// - Parameter mergesRuns: whether datagrams of one size to one destination are sent as one message (UDP_SEGMENT);
  ///   false in a load generator, which must send like ordinary clients.
  public init(capacity: Int, mergesRuns: Bool = true) {
    self.capacity = capacity
    self.mergesRuns = mergesRuns
    var entryCount = 64
    while entryCount < capacity * 2 { entryCount *= 2 }
    routeMask = entryCount - 1
    unsafe entries = .allocate(capacity: capacity)
    unsafe payloads = .allocate(capacity: capacity)
    unsafe payloads.initialize(repeating: nil, count: capacity)
    unsafe names = .allocate(byteCount: capacity * Self.nameStride, alignment: 16)
    unsafe prefixes = .allocate(byteCount: capacity * Self.prefixStride, alignment: 16)
    unsafe zeros = .allocate(byteCount: 8, alignment: 8)
    unsafe zeros.initializeMemory(as: UInt8.self, repeating: 0, count: 8)
    unsafe headers = .allocate(capacity: capacity)
    unsafe headers.initialize(repeating: mmsghdr(), count: capacity)
    unsafe messages = .allocate(capacity: capacity)
    unsafe vectors = .allocate(capacity: capacity * 3)
    unsafe vectors.initialize(repeating: iovec(), count: capacity * 3)
    unsafe controls = .allocate(byteCount: capacity * Self.controlStride, alignment: 16)
    unsafe controls.initializeMemory(as: UInt8.self, repeating: 0, count: capacity * Self.controlStride)
    unsafe routes = .allocate(capacity: entryCount)
    unsafe routes.initialize(repeating: (0, 0, -1, -1), count: entryCount)
    unsafe order = .allocate(capacity: capacity)
  }

  deinit {
    unsafe entries.deallocate()
    unsafe payloads.deallocate()
    unsafe names.deallocate()
    unsafe prefixes.deallocate()
    unsafe zeros.deallocate()
    unsafe headers.deallocate()
    unsafe messages.deallocate()
    unsafe vectors.deallocate()
    unsafe controls.deallocate()
    unsafe routes.deallocate()
    unsafe order.deallocate()
  }

  /// Whether `append` must not be called before a flush.
  public var isFull: Bool { count == capacity }

  // MARK: - Adding

  /// Adds a whole datagram in a slot. The batch must not be full.
  ///
  /// - Parameter source: the source address, for sockets on every address; else nil.
  @inline(__always)
  public mutating func append(
    _ descriptor: Int32, _ buffers: borrowing PacketBuffers, slot: Int, range: Range<Int>, to peer: SocketAddress,
    from source: IPAddress?
  ) {
    add(descriptor, buffers, slot: slot, range: range, prefixByteCount: 0, padding: 0, to: peer, from: source)
  }

  /// Adds a datagram of three pieces: a prefix of up to 64 bytes, which is copied, a part of a slot, and up to eight
  /// zero bytes. This is for a part of merged datagrams, which has no room for a header before it.
  @inline(__always)
  public mutating func append(
    _ descriptor: Int32, prefix: RawSpan, _ buffers: borrowing PacketBuffers, slot: Int, range: Range<Int>,
    padding: Int, to peer: SocketAddress, from source: IPAddress?
  ) {
    precondition(prefix.byteCount <= Self.prefixStride && padding >= 0 && padding <= 8)
    let target = unsafe prefixes + count * Self.prefixStride
    unsafe prefix.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { unsafe target.copyMemory(from: base, byteCount: bytes.count) }
    }
    add(
      descriptor, buffers, slot: slot, range: range, prefixByteCount: prefix.byteCount, padding: padding, to: peer,
      from: source)
  }

  @inline(__always)
  private mutating func add(
    _ descriptor: Int32, _ buffers: borrowing PacketBuffers, slot: Int, range: Range<Int>, prefixByteCount: Int,
    padding: Int, to peer: SocketAddress, from source: IPAddress?
  ) {
    precondition(count < capacity)
    precondition(range.lowerBound >= -PacketBuffers.headroom && range.upperBound <= PacketBuffers.capacity + 256)
    let index = count
    count += 1
    let nameByteCount = unsafe peer.write(
      to: (names + index * Self.nameStride).assumingMemoryBound(to: sockaddr_storage.self))
    let route = Self.route(descriptor, peer, source)
    unsafe payloads[index] = buffers.start(of: slot) + range.lowerBound
    unsafe entries[index] = Entry(
      route: route, descriptor: descriptor,
      byteCount: Int32(truncatingIfNeeded: prefixByteCount + range.count + padding),
      payloadByteCount: Int32(truncatingIfNeeded: range.count),
      prefixByteCount: UInt8(truncatingIfNeeded: prefixByteCount),
      paddingByteCount: UInt8(truncatingIfNeeded: padding), nameByteCount: UInt8(truncatingIfNeeded: nameByteCount),
      hasSource: source != nil, trafficClass: trafficClass, next: -1, source: source ?? .ipv4Any)
    chain(index, route)
  }

  /// The hash of a route: of socket, destination and source. Different routes may have the same hash, because
  /// `isSameRoute` compares the fields.
  @inline(__always)
  private static func route(_ descriptor: Int32, _ peer: SocketAddress, _ source: IPAddress?) -> UInt64 {
    var mixed = (peer.address.low ^ 0x9E37_79B9_7F4A_7C15) &+ peer.address.high &* 0xC2B2_AE3D_27D4_EB4F
    mixed ^= UInt64(peer.port) << 32 | UInt64(UInt32(bitPattern: descriptor))
    if let source { mixed = mixed &* 31 ^ source.low ^ source.high }
    let product = mixed.multipliedFullWidth(by: 0x9FB2_1C65_1E98_DF25)
    return product.high ^ product.low
  }

  /// Appends an entry to the list of its route.
  @inline(__always)
  private mutating func chain(_ index: Int, _ route: UInt64) {
    var entry = Int(truncatingIfNeeded: route) & routeMask
    while true {
      let found = unsafe routes[entry]
      if found.stamp != stamp {
        unsafe routes[entry] = (route, stamp, Int32(truncatingIfNeeded: index), Int32(truncatingIfNeeded: index))
        unsafe order[routeCount] = Int32(truncatingIfNeeded: entry)
        routeCount += 1
        return
      }
      if found.route == route, isSameRoute(Int(found.last), index) {
        unsafe entries[Int(found.last)].next = Int32(truncatingIfNeeded: index)
        unsafe routes[entry].last = Int32(truncatingIfNeeded: index)
        return
      }
      entry = (entry &+ 1) & routeMask
    }
  }

  /// Whether two entries have the same route. Hashes may collide, so the fields are compared.
  @inline(__always)
  private func isSameRoute(_ a: Int, _ b: Int) -> Bool {
    let first = unsafe entries[a]
    let second = unsafe entries[b]
    guard first.descriptor == second.descriptor, first.nameByteCount == second.nameByteCount,
      first.hasSource == second.hasSource, first.source == second.source
    else { return false }
    return unsafe memcmp(names + a * Self.nameStride, names + b * Self.nameStride, Int(first.nameByteCount)) == 0
  }
}
