/// A slot of a `SlotMap`, which names the slot's present element. Use it within one turn of the event loop, and for
/// links between records if the end of one record removes the link in the other (a channel and its allocation, a record
/// and its timer). All other owners (a socket, a waiting request, another thread) keep a `Handle`.
@frozen
public struct Slot<Element: ~Copyable>: Sendable, BitwiseCopyable {
  public let index: UInt32

  @inlinable
  public init(index: UInt32) { self.index = index }
}

/// A slot and its generation, which together name one element for ever. After the element's removal the handle finds
/// nothing, even if the slot has been reused.
///
/// The type parameter prevents the use of one kind's handle on another kind of record.
@frozen
public struct Handle<Element: ~Copyable>: Sendable, BitwiseCopyable {
  public let index: UInt32
  /// Odd: the generations of free slots are even.
  public let generation: UInt32

  @inlinable
  public init(index: UInt32, generation: UInt32) {
    self.index = index
    self.generation = generation
  }

  /// The handle of an element that has ended: it finds nothing, because the generations of elements are odd.
  @inlinable public static var ended: Handle { Handle(index: 0, generation: 0) }
}

// Written out, because the synthesized `Hashable` is not inlined into other modules.
extension Slot: Hashable where Element: ~Copyable {
  @inlinable
  public static func == (first: Self, second: Self) -> Bool { first.index == second.index }

  @inlinable
  public func hash(into hasher: inout Hasher) { hasher.combine(index) }
}

extension Handle: Hashable where Element: ~Copyable {
  @inlinable
  public static func == (first: Self, second: Self) -> Bool {
    first.index == second.index && first.generation == second.generation
  }

  @inlinable
  public func hash(into hasher: inout Hasher) {
    hasher.combine(index)
    hasher.combine(generation)
  }
}
