internal import CLinux
public import NetworkTypes
internal import Synchronization

/// Passes datagrams between threads without the kernel: each pair of threads has a ring with one writer and one reader,
/// without locks and heap allocations. A full ring refuses a datagram, and the writer never waits. A ring has 256 KiB
/// of address space; only the pages that were ever used are resident.
///
/// ```
///   thread 0 ──▶ ring ──▶ thread 1        one doorbell for each reader, rung once until `beginLooking`
/// ```
@safe
public final class PacketExchange: Sendable {
  /// The number of threads.
  public let count: Int
  // `rings` and `rung` are created in init, freed in deinit and never replaced. Each ring has one writer and one
  // reader, which share two atomics.
  nonisolated(unsafe) private let rings: UnsafeMutablePointer<PacketRing>
  nonisolated(unsafe) private let rung: UnsafeMutablePointer<Atomic<Bool>>

  /// - Parameter count: the number of threads.
  public init(count: Int) {
    self.count = count
    unsafe rings = .allocate(capacity: count * count)
    // No ring from a thread to itself.
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

  /// Posts a datagram; false if the ring is full. Only the thread `writer` may call this.
  public func post(
    _ bytes: RawSpan, _ header: Header, from writer: Int, to reader: Int
  ) -> Bool {
    precondition(writer >= 0 && writer < count && reader >= 0 && reader < count)
    return unsafe rings[writer * count + reader].push(header, bytes)
  }

  /// The addresses and marks of a datagram.
  public struct Header: Sendable, BitwiseCopyable, Equatable {
    /// The sender of the datagram.
    public var source: SocketAddress
    /// The receiver of the datagram.
    public var destination: SocketAddress
    /// DSCP and ECN.
    public var trafficClass: UInt8

    public init(source: SocketAddress, destination: SocketAddress, trafficClass: UInt8 = 0) {
      self.source = source
      self.destination = destination
      self.trafficClass = trafficClass
    }
  }

  /// Takes the oldest datagram from one writer into a slot. Only the thread `reader` may call this.
  public func take(
    from writer: Int, by reader: Int, into buffers: inout PacketBuffers, slot: Int
  ) -> (header: Header, byteCount: Int)? {
    precondition(writer >= 0 && writer < count && reader >= 0 && reader < count)
    return unsafe rings[writer * count + reader].pop(into: &buffers, slot: slot)
  }

  /// Whether the reader must be woken: true once, until the reader calls `beginLooking`.
  public func needsBell(_ reader: Int) -> Bool {
    precondition(reader >= 0 && reader < count)
    return unsafe !rung[reader].exchange(true, ordering: .acquiringAndReleasing)
  }

  /// A reader calls this before it reads the rings; the next post then rings again.
  public func beginLooking(_ reader: Int) {
    precondition(reader >= 0 && reader < count)
    _ = unsafe rung[reader].exchange(false, ordering: .acquiringAndReleasing)
  }
}

/// A ring of datagrams between two threads: the writer advances `written`, the reader `read`, and both only grow. A
/// datagram is contiguous; if the end of the memory is too near, a mark sends the reader to the beginning.
@safe
struct PacketRing: ~Copyable {
  private struct Entry: BitwiseCopyable {
    var header: PacketExchange.Header
    /// The number of bytes after this entry; -1: continue at the beginning.
    var byteCount: Int32
  }

  /// calloc's pages become resident only when they are used.
  static let capacity = 256 << 10
  private static let entrySize = (MemoryLayout<Entry>.stride + 15) & ~15

  // The memory is owned by this value alone and freed in deinit; positions are taken modulo its size, and no entry
  // passes the end.
  nonisolated(unsafe) private let memory: UnsafeMutableRawPointer
  private let isUsed: Bool
  private let written = Atomic<Int>(0)
  // Keeps `read` out of the writer's cache line.
  private let padding = InlineArray<15, Int>(repeating: 0)
  private let read = Atomic<Int>(0)

  init(isUsed: Bool) {
    self.isUsed = isUsed
    // This happens only at the server's start, before any packet: without the exchange no shard can start.
    guard let memory = unsafe calloc(1, isUsed ? Self.capacity : 16) else {
      fatalError("out of memory for the shards' exchange")
    }
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
      // Positions are multiples of 16 bytes, but the rest up to the end may be shorter than an entry.
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
