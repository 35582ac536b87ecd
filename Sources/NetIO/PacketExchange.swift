internal import CLinux
public import NetworkTypes
internal import Synchronization

/// Datagrams from one thread to another without the kernel: for each pair of threads a ring that one writes and the
/// other reads, without a lock and without the heap. A full ring refuses, and its bytes are never waited for. Each takes
/// 256 KiB of addresses, and of memory what it ever held at one time.
///
/// ```
///   thread 0 ──▶ ring ──▶ thread 1        a doorbell for each reader, rung once until it has looked
/// ```
@safe
public final class PacketExchange: Sendable {
  public let count: Int
  // Made in init, freed in deinit and never replaced; each ring has one writer and one reader, and what they share of it
  // is two atomics.
  nonisolated(unsafe) private let rings: UnsafeMutablePointer<PacketRing>
  nonisolated(unsafe) private let rung: UnsafeMutablePointer<Atomic<Bool>>

  /// - Parameter count: threads, named by number.
  public init(count: Int) {
    self.count = count
    unsafe rings = .allocate(capacity: count * count)
    // Nobody writes to himself.
    for index in 0..<(count * count) {
      unsafe (rings + index).initialize(to: PacketRing(isUsed: index / count != index % count))
    }
    unsafe rung = .allocate(capacity: count)
    for index in 0..<count { unsafe (rung + index).initialize(to: Atomic(false)) }
  }

  deinit {
    unsafe rings.deinitialize(count: count * count)
    unsafe rings.deallocate()
    unsafe rung.deinitialize(count: count)
    unsafe rung.deallocate()
  }

  /// Posts a datagram; false where the reader is that far behind. Only the thread `writer` may do this.
  public func post(
    _ bytes: RawSpan, _ header: Header, from writer: Int, to reader: Int
  ) -> Bool {
    precondition(writer >= 0 && writer < count && reader >= 0 && reader < count)
    return unsafe rings[writer * count + reader].push(header, bytes)
  }

  /// What goes with a datagram.
  public struct Header: Sendable, BitwiseCopyable, Equatable {
    public var source: SocketAddress
    public var destination: SocketAddress
    /// DSCP and ECN.
    public var trafficClass: UInt8

    public init(source: SocketAddress, destination: SocketAddress, trafficClass: UInt8 = 0) {
      self.source = source
      self.destination = destination
      self.trafficClass = trafficClass
    }
  }

  /// Takes the oldest datagram from one writer into a slot. Only the thread `reader` may do this.
  public func take(
    from writer: Int, by reader: Int, into buffers: inout PacketBuffers, slot: Int
  ) -> (header: Header, byteCount: Int)? {
    precondition(writer >= 0 && writer < count && reader >= 0 && reader < count)
    return unsafe rings[writer * count + reader].pop(into: &buffers, slot: slot)
  }

  /// Whether the reader has to be woken: true once, until it says that it looks.
  public func needsBell(_ reader: Int) -> Bool {
    precondition(reader >= 0 && reader < count)
    return unsafe !rung[reader].exchange(true, ordering: .acquiringAndReleasing)
  }

  /// To be called by a reader before it looks: what is posted from now on rings again.
  public func beginLooking(_ reader: Int) {
    precondition(reader >= 0 && reader < count)
    _ = unsafe rung[reader].exchange(false, ordering: .acquiringAndReleasing)
  }
}

/// A ring of datagrams between two threads: `written` belongs to the one, `read` to the other, and both only grow.
/// A datagram lies in one piece; where the end of the memory is too near, a mark tells to go on at the beginning.
@safe
struct PacketRing: ~Copyable {
  private struct Entry: BitwiseCopyable {
    var header: PacketExchange.Header
    /// Bytes behind this entry; -1: go on at the beginning.
    var byteCount: Int32
  }

  /// calloc gives pages that cost nothing until they are used.
  static let capacity = 256 << 10
  private static let entrySize = (MemoryLayout<Entry>.stride + 15) & ~15

  // Owned alone, freed in deinit; offsets are always masked, and an entry never goes past the end.
  nonisolated(unsafe) private let memory: UnsafeMutableRawPointer
  private let isUsed: Bool
  private let written = Atomic<Int>(0)
  // Not on the writer's cache line.
  private let padding = InlineArray<15, Int>(repeating: 0)
  private let read = Atomic<Int>(0)

  init(isUsed: Bool) {
    self.isUsed = isUsed
    // At the server's start alone, before any packet: without it no shard can start.
    guard let memory = unsafe calloc(1, isUsed ? Self.capacity : 16) else { fatalError("out of memory for the shards' exchange") }
    unsafe self.memory = memory
  }

  deinit { unsafe free(memory) }

  private static func space(_ byteCount: Int) -> Int { (entrySize + byteCount + 15) & ~15 }

  func push(_ header: PacketExchange.Header, _ bytes: RawSpan) -> Bool {
    let space = Self.space(bytes.byteCount)
    guard isUsed, space <= Self.capacity / 2 else { return false }
    var position = written.load(ordering: .relaxed)
    let read = read.load(ordering: .acquiring)
    let toEnd = Self.capacity - position % Self.capacity
    let skipped = toEnd < space ? toEnd : 0
    guard position + skipped + space - read <= Self.capacity else { return false }
    if skipped > 0 {
      // An entry is a multiple of 16 bytes like every position, but the end may be nearer than a whole entry.
      if toEnd >= Self.entrySize { store(Entry(header: header, byteCount: -1), at: position) }
      position += skipped
    }
    store(Entry(header: header, byteCount: Int32(truncatingIfNeeded: bytes.byteCount)), at: position)
    let target = unsafe memory + position % Self.capacity + Self.entrySize
    unsafe bytes.withUnsafeBytes { source in
      if let base = source.baseAddress { unsafe target.copyMemory(from: base, byteCount: source.count) }
    }
    written.store(position + space, ordering: .releasing)
    return true
  }

  private func store(_ entry: Entry, at position: Int) {
    unsafe (memory + position % Self.capacity).storeBytes(of: entry, as: Entry.self)
  }

  func pop(into buffers: inout PacketBuffers, slot: Int) -> (header: PacketExchange.Header, byteCount: Int)? {
    var position = read.load(ordering: .relaxed)
    let written = written.load(ordering: .acquiring)
    guard position < written else { return nil }
    let toEnd = Self.capacity - position % Self.capacity
    if toEnd < Self.entrySize || entry(at: position).byteCount < 0 { position += toEnd }
    let entry = entry(at: position)
    let count = Int(entry.byteCount)
    let start = unsafe memory + position % Self.capacity + Self.entrySize
    let span = unsafe RawSpan(_unsafeStart: start, byteCount: count)
    buffers.copy(span, into: slot, at: 0)
    read.store(position + Self.space(count), ordering: .releasing)
    return (entry.header, count)
  }

  private func entry(at position: Int) -> Entry {
    unsafe (memory + position % Self.capacity).load(as: Entry.self)
  }
}
