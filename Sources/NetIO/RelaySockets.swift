public import NetworkTypes
internal import System
public import Tables

/// The UDP sockets of relayed transport addresses. A socket has the handle of the relay's record, so this is no
/// `SlotMap` with its own numbers. It is a flat array because every packet looks up its socket.
@safe
public struct RelaySockets: ~Copyable {
  /// One relay's socket.
  public struct Entry: BitwiseCopyable {
    /// -1 if the slot has no socket.
    fileprivate var descriptor: Int32
    fileprivate var generation: UInt32
    /// The limit of the next read: as many datagrams as the last reads returned.
    fileprivate var receiveLimit: UInt8 = 1
    /// The number of reads with more than one datagram, until merging is switched on.
    fileprivate var runs: UInt8 = 0
    fileprivate var merges = false
    fileprivate var watch = TrafficClassWatch()
  }

  // The memory is owned by this value alone and freed in deinit; every access checks its index against `capacity`.
  nonisolated(unsafe) private var entries: UnsafeMutablePointer<Entry>
  private var capacity = 64
  /// The last slot of each descriptor.
  private var slotOfDescriptor: [OptionalSlot<Entry>] = []
  /// The number of sockets.
  public private(set) var count = 0

  public init() {
    unsafe entries = .allocate(capacity: capacity)
    unsafe entries.initialize(repeating: Entry(descriptor: -1, generation: 0), count: capacity)
  }

  deinit {
    for index in 0..<capacity { closeDescriptor(at: index) }
    unsafe entries.deallocate()
  }

  private func closeDescriptor(at index: Int) {
    let descriptor = unsafe entries[index].descriptor
    if descriptor >= 0 { _ = FileDescriptor(owning: descriptor) }
  }

  /// Inserts a socket, and closes the slot's previous one.
  public mutating func insert(_ socket: consuming UDPSocket, at handle: Handle<Entry>) {
    let index = Int(handle.index)
    if index >= capacity { grow(beyond: index) }
    if unsafe entries[index].descriptor >= 0 { closeDescriptor(at: index) } else { count += 1 }
    let descriptor = socket.release()
    unsafe entries[index] = Entry(descriptor: descriptor, generation: handle.generation)
    while slotOfDescriptor.count <= Int(descriptor) { slotOfDescriptor.append(OptionalSlot()) }
    slotOfDescriptor[Int(descriptor)] = OptionalSlot(Slot(index: handle.index))
  }

  private mutating func grow(beyond index: Int) {
    var larger = capacity
    while larger <= index { larger *= 2 }
    let memory = UnsafeMutablePointer<Entry>.allocate(capacity: larger)
    unsafe memory.initialize(repeating: Entry(descriptor: -1, generation: 0), count: larger)
    unsafe memory.update(from: entries, count: capacity)
    unsafe entries.deallocate()
    unsafe entries = memory
    capacity = larger
  }

  /// The descriptor of exactly this socket; nil if it is closed.
  @inline(__always)
  public func descriptor(_ handle: Handle<Entry>) -> Int32? {
    guard Int(handle.index) < capacity else { return nil }
    let entry = unsafe entries[Int(handle.index)]
    return entry.generation == handle.generation && entry.descriptor >= 0 ? entry.descriptor : nil
  }

  /// The limit of the next read, in datagrams. If it exceeds the waiting datagrams, the kernel also looks into the
  /// empty queue; if it is lower, another wake-up follows. So the limit follows the last reads.
  @inline(__always)
  public func receiveLimit(_ handle: Handle<Entry>) -> Int {
    Int(handle.index) < capacity ? Int(unsafe entries[Int(handle.index)].receiveLimit) : 1
  }

  /// Adapts the limit to a read. A socket that repeatedly returns several datagrams gets UDP_GRO.
  @inline(__always)
  public mutating func learn(_ handle: Handle<Entry>, asked: Int, received: Int) {
    guard Int(handle.index) < capacity else { return }
    let entry = unsafe entries + Int(handle.index)
    if received == asked {
      if asked < 16 { unsafe entry.pointee.receiveLimit = UInt8(truncatingIfNeeded: asked * 2) }
    } else {
      unsafe entry.pointee.receiveLimit = UInt8(truncatingIfNeeded: max(received, 1))
    }
    if received > 1, unsafe !entry.pointee.merges {
      unsafe entry.pointee.runs &+= 1
      if unsafe entry.pointee.runs >= Self.runsBeforeMerging {
        unsafe entry.pointee.merges = true
        _ = unsafe UDPOffload.enableReceiving(entry.pointee.descriptor)
      }
    }
  }

  static let runsBeforeMerging: UInt8 = 8

  /// Counts a datagram's traffic class: a socket whose datagrams are never marked stops reporting it for a while.
  @inline(__always)
  public mutating func count(_ handle: Handle<Entry>, trafficClass: UInt8, _ family: IPAddress.Family) {
    guard Int(handle.index) < capacity else { return }
    let entry = unsafe entries + Int(handle.index)
    guard unsafe entry.pointee.watch.count(trafficClass) else { return }
    let descriptor = unsafe entry.pointee.descriptor
    if descriptor >= 0 { unsafe entry.pointee.watch.switchOver(descriptor, family) }
  }

  /// The handle of a descriptor's socket; nil for other descriptors.
  public func find(_ descriptor: Int32) -> Handle<Entry>? {
    guard descriptor >= 0, Int(descriptor) < slotOfDescriptor.count,
      let index = slotOfDescriptor[Int(descriptor)].slot?.index,
      Int(index) < capacity, unsafe entries[Int(index)].descriptor == descriptor
    else { return nil }
    return Handle(index: index, generation: unsafe entries[Int(index)].generation)
  }

  /// Every socket, with its handle.
  public var all: [(handle: Handle<Entry>, descriptor: Int32)] {
    (0..<capacity).compactMap { index in
      let entry = unsafe entries[index]
      guard entry.descriptor >= 0 else { return nil }
      return (Handle(index: UInt32(truncatingIfNeeded: index), generation: entry.generation), entry.descriptor)
    }
  }

  /// Removes a socket and returns its descriptor, which the caller closes; nil if it has been removed already.
  public mutating func remove(_ handle: Handle<Entry>) -> Int32? {
    guard let found = descriptor(handle) else { return nil }
    unsafe entries[Int(handle.index)].descriptor = -1
    count -= 1
    return found
  }
}
