/// The linked list of an owner's elements in one `SlotMap`, such as the permissions of an allocation. Inserting and
/// removing takes constant time; the only memory is the links in the elements.
@frozen
public struct OwnedList<Element: ListElement & ~Copyable>: BitwiseCopyable, Sendable {
  @usableFromInline var head = OptionalSlot<Element>()
  @usableFromInline var countOfElements: UInt32 = 0

  /// The number of elements.
  @inlinable public var count: UInt32 { countOfElements }

  @inlinable
  public init() {}

  /// The element that was inserted last.
  @inlinable public var first: Slot<Element>? { head.slot }

  /// The element after another one.
  @inlinable
  public func next(after slot: Slot<Element>, in map: borrowing SlotMap<Element>) -> Slot<Element>? {
    map[slot].links.next.slot
  }

  /// Inserts an element of the map, which is in no list, at the beginning.
  @inlinable
  public mutating func insert(_ slot: Slot<Element>, in map: inout SlotMap<Element>) {
    map[slot].links = ListLinks()
    if let old = head.slot {
      map[old].links.previous = OptionalSlot(slot)
      map[slot].links.next = OptionalSlot(old)
    }
    head = OptionalSlot(slot)
    countOfElements += 1
  }

  /// Removes an element from this list; the element stays in the map.
  @inlinable
  public mutating func remove(_ slot: Slot<Element>, in map: inout SlotMap<Element>) {
    let links = map[slot].links
    if let previous = links.previous.slot {
      map[previous].links.next = links.next
    } else {
      head = links.next
    }
    if let next = links.next.slot { map[next].links.previous = links.previous }
    map[slot].links = ListLinks()
    countOfElements -= 1
  }
}

/// An element of an `OwnedList`.
public protocol ListElement: ~Copyable {
  var links: ListLinks<Self> { get set }
}

/// An element's neighbours in its list.
@frozen
public struct ListLinks<Element: ~Copyable>: BitwiseCopyable, Sendable {
  @usableFromInline var previous = OptionalSlot<Element>()
  @usableFromInline var next = OptionalSlot<Element>()

  @inlinable
  public init() {}
}

/// A slot or none in four bytes; `Slot?` has eight.
@frozen
public struct OptionalSlot<Element: ~Copyable>: BitwiseCopyable, Sendable {
  @usableFromInline var index: UInt32

  @inlinable
  public init(_ slot: Slot<Element>? = nil) { index = slot?.index ?? .max }

  @inlinable public var slot: Slot<Element>? { index == .max ? nil : Slot(index: index) }
}

// Written explicitly, because the synthesised `Equatable` is not inlined into other modules.
extension OptionalSlot: Equatable where Element: ~Copyable {
  @inlinable
  public static func == (first: Self, second: Self) -> Bool { first.index == second.index }
}

/// A handle or none in eight bytes; `Handle?` has twelve.
@frozen
public struct OptionalHandle<Element: ~Copyable>: BitwiseCopyable, Sendable {
  @usableFromInline var index: UInt32
  @usableFromInline var generation: UInt32

  @inlinable
  public init(_ handle: Handle<Element>? = nil) {
    index = handle?.index ?? .max
    generation = handle?.generation ?? 0
  }

  @inlinable public var handle: Handle<Element>? { index == .max ? nil : Handle(index: index, generation: generation) }
}

// Written explicitly, because the synthesised `Equatable` is not inlined into other modules.
extension OptionalHandle: Equatable where Element: ~Copyable {
  @inlinable
  public static func == (first: Self, second: Self) -> Bool {
    first.index == second.index && first.generation == second.generation
  }
}
