public import NetworkTypes

/// Sockets in places that somebody else numbers (the relay ports of `TURN`): looked up for every packet, so flat.
@safe
public struct DescriptorTable: ~Copyable {
  private struct Place: BitwiseCopyable {
    var descriptor: Int32
    var generation: UInt32
    /// How many datagrams the next reading asks for: as many as the last ones brought.
    var appetite: UInt8 = 1
    /// How often a reading brought more than one datagram, until merging was switched on.
    var runs: UInt8 = 0
    var merges = false
    var watch = TrafficClassWatch()
  }

  // Owned alone and freed in deinit; every access checks its index against `capacity`.
  nonisolated(unsafe) private var places: UnsafeMutablePointer<Place>
  private var capacity = 64
  /// The place that each descriptor was last put into.
  private var placeOfDescriptor: [UInt32] = []
  public private(set) var count = 0

  public init() {
    unsafe places = .allocate(capacity: capacity)
    unsafe places.initialize(repeating: Place(descriptor: -1, generation: 0), count: capacity)
  }

  deinit {
    for index in 0..<capacity { closeDescriptor(at: index) }
    unsafe places.deallocate()
  }

  private func closeDescriptor(at index: Int) {
    let descriptor = unsafe places[index].descriptor
    if descriptor >= 0 { _ = FileDescriptor(owning: descriptor) }
  }

  /// Takes a socket over, closing what was in the place.
  public mutating func insert(_ socket: consuming UDPSocket, at index: UInt32, generation: UInt32) {
    let index = Int(index)
    if index >= capacity { grow(beyond: index) }
    if unsafe places[index].descriptor >= 0 { closeDescriptor(at: index) } else { count += 1 }
    let descriptor = socket.release()
    unsafe places[index] = Place(descriptor: descriptor, generation: generation)
    while placeOfDescriptor.count <= Int(descriptor) { placeOfDescriptor.append(.max) }
    placeOfDescriptor[Int(descriptor)] = UInt32(index)
  }

  private mutating func grow(beyond index: Int) {
    var larger = capacity
    while larger <= index { larger *= 2 }
    let memory = UnsafeMutablePointer<Place>.allocate(capacity: larger)
    unsafe memory.initialize(repeating: Place(descriptor: -1, generation: 0), count: larger)
    unsafe memory.update(from: places, count: capacity)
    unsafe places.deallocate()
    unsafe places = memory
    capacity = larger
  }

  /// The descriptor of this very tenant; nil where it is gone.
  @inline(__always)
  public func descriptor(_ index: UInt32, generation: UInt32) -> Int32? {
    guard Int(index) < capacity else { return nil }
    let place = unsafe places[Int(index)]
    return place.generation == generation && place.descriptor >= 0 ? place.descriptor : nil
  }

  /// How many datagrams to ask for. Asking for more than there are costs a look into an empty queue, asking for fewer
  /// another wake-up; so a socket is asked for what it has lately brought.
  @inline(__always)
  public func appetite(_ index: UInt32) -> Int {
    Int(index) < capacity ? Int(unsafe places[Int(index)].appetite) : 1
  }

  /// Learns from a reading. A socket that brings runs again and again has the kernel merge them from then on.
  @inline(__always)
  public mutating func learn(_ index: UInt32, asked: Int, received: Int) {
    guard Int(index) < capacity else { return }
    let place = unsafe places + Int(index)
    if received == asked {
      if asked < 16 { unsafe place.pointee.appetite = UInt8(truncatingIfNeeded: asked * 2) }
    } else {
      unsafe place.pointee.appetite = UInt8(truncatingIfNeeded: max(received, 1))
    }
    if received > 1, unsafe !place.pointee.merges {
      unsafe place.pointee.runs &+= 1
      if unsafe place.pointee.runs >= Self.runsBeforeMerging {
        unsafe place.pointee.merges = true
        _ = unsafe UDPOffload.enableReceiving(place.pointee.descriptor)
      }
    }
  }

  static let runsBeforeMerging: UInt8 = 8

  /// Notes the traffic class of a datagram that a socket has received.
  @inline(__always)
  public mutating func note(_ index: UInt32, trafficClass: UInt8, _ family: IPAddress.Family) {
    guard Int(index) < capacity else { return }
    let place = unsafe places + Int(index)
    guard unsafe place.pointee.watch.note(trafficClass) else { return }
    let descriptor = unsafe place.pointee.descriptor
    if descriptor >= 0 { unsafe place.pointee.watch.switchOver(descriptor, family) }
  }

  /// The place and the tenant that have a descriptor; nil where none has.
  public func find(_ descriptor: Int32) -> (index: UInt32, generation: UInt32)? {
    guard descriptor >= 0, Int(descriptor) < placeOfDescriptor.count else { return nil }
    let index = placeOfDescriptor[Int(descriptor)]
    guard Int(index) < capacity, unsafe places[Int(index)].descriptor == descriptor else { return nil }
    return (index, unsafe places[Int(index)].generation)
  }

  /// Gives a socket up without closing it, which is for the caller to do; nil where it is gone already.
  public mutating func remove(_ index: UInt32, generation: UInt32) -> Int32? {
    guard let found = descriptor(index, generation: generation) else { return nil }
    unsafe places[Int(index)].descriptor = -1
    count -= 1
    return found
  }
}
