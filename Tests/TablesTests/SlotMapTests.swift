internal import Synchronization
internal import Tables
internal import TestSupport
internal import Testing

/// Counts its live values.
private struct Tracked: ~Copyable {
  static let alive = Mutex(0)
  var value: Int

  init(_ value: Int) {
    self.value = value
    Self.alive.withLock { $0 += 1 }
  }

  deinit { Self.alive.withLock { $0 -= 1 } }
}

private struct Item: ListElement, BitwiseCopyable {
  var value: Int
  var links = ListLinks<Item>()
}

@Suite("Records named by slot and generation")
struct SlotMapTests {
  @Test("A handle finds its element, and nothing after the element is removed or its slot reused")
  func stale() {
    var map = SlotMap<Int>()
    let first = map.insert(1)
    let handle = map.handle(of: first)
    let value = map.slot(of: handle).map { map[$0] }
    #expect(value == 1)
    let removed = map.remove(first)
    let afterwards = map.slot(of: handle)
    #expect(removed == 1 && afterwards == nil)
    let next = map.next
    let second = map.insert(2)
    let (ofSecond, ofStale, ofNext) = (map.handle(of: second), map.slot(of: handle), map.slot(of: next))
    #expect(second == first && ofSecond == next && ofStale == nil && ofNext == second)
    // Free slots have even generations, and an index beyond the map has no slot.
    let even = map.slot(of: Handle(index: second.index, generation: next.generation + 1))
    let beyond = map.slot(of: Handle(index: 99, generation: 1))
    let far = map.slot(of: Handle(index: .max, generation: .max))
    #expect(even == nil && beyond == nil && far == nil)
  }

  @Test("An element that owns a resource releases it when it is removed, and with the map")
  func ownership() {
    var map = SlotMap<Tracked>()
    let slots = (0..<100).map { map.insert(Tracked($0)) }
    #expect(Tracked.alive.withLock { $0 } == 100)
    for slot in slots[..<40] { _ = map.remove(slot) }
    #expect(Tracked.alive.withLock { $0 } == 60)
    map[slots[50]].value += 1000
    let (changed, last) = (map[slots[50]].value, map[slots[99]].value)
    #expect(changed == 1050 && last == 99)
    map = SlotMap()
    #expect(Tracked.alive.withLock { $0 } == 0)
  }

  @Test("A random walk agrees with a dictionary", arguments: [1, 2, 3])
  func model(seed: UInt64) {
    var random = SplitMix(state: seed)
    var map = SlotMap<Int>()
    var model: [Handle<Int>: Int] = [:]
    var gone: [Handle<Int>] = []
    for step in 0..<20_000 {
      if Bool.random(using: &random) || model.isEmpty {
        let expected = map.next
        let slot = map.insert(step)
        let handle = map.handle(of: slot)
        #expect(handle == expected && model.updateValue(step, forKey: expected) == nil)
      } else if let (handle, value) = model.randomElement(using: &random) {
        model[handle] = nil
        gone.append(handle)
        let removed = map.slot(of: handle).map { map.remove($0) }
        #expect(removed == value)
      }
      let count = map.count
      #expect(count == model.count)
    }
    for (handle, value) in model {
      let found = map.slot(of: handle).map { map[$0] }
      #expect(found == value)
    }
    for handle in gone {
      let found = map.slot(of: handle)
      #expect(found == nil)
    }
    var walked = 0
    var walk = SlotWalk<Int>()
    while let slot = map.next(&walk) {
      let (handle, value) = (map.handle(of: slot), map[slot])
      #expect(model[handle] == value)
      walked += 1
    }
    #expect(walked == model.count)
  }

  @Test("A walk visits each element once and no removed one, although elements are removed and inserted meanwhile")
  func walk() {
    var map = SlotMap<Int>()
    let slots = (0..<6).map { map.insert($0) }
    var walk = SlotWalk<Int>()
    var visited: [Int] = []
    while let slot = map.next(&walk) {
      visited.append(map[slot])
      switch map[slot] {
      case 0: for gone in slots[0...2] { map.remove(gone) }
      case 3:
        // The new element gets the slot of number 2, which the walk has passed.
        map.insert(7)
        map.remove(slots[4])
      default: break
      }
    }
    #expect(visited == [0, 3, 5])
    let end = map.next(&walk)
    #expect(end == nil)
  }

  @Test("Elements of any size and alignment keep their values when the map grows")
  func layouts() {
    func check<Element: Equatable>(_ make: (Int) -> Element) {
      var map = SlotMap<Element>()
      let slots = (0..<200).map { map.insert(make($0)) }
      for (number, slot) in slots.enumerated() {
        let value = map[slot]
        #expect(value == make(number))
      }
    }
    check { UInt8(truncatingIfNeeded: $0) }
    check { SIMD16<UInt32>(repeating: UInt32($0)) }
    check { String(repeating: "x", count: $0) }
    check { [$0, $0 + 1] }
    check { [InlineBytes(first: UInt64($0))] }
  }

  private struct InlineBytes: Equatable {
    var first: UInt64
    var rest: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4, 5, 6, 7, 8)

    static func == (a: Self, b: Self) -> Bool { a.first == b.first && a.rest.7 == b.rest.7 }
  }

  @Test("Lists in one map are separate, and elements leave from beginning, middle and end")
  func lists() {
    var map = SlotMap<Item>()
    var lists = (OwnedList<Item>(), OwnedList<Item>())
    var slots: [Slot<Item>] = []
    for value in 0..<6 {
      let slot = map.insert(Item(value: value))
      slots.append(slot)
      if value % 2 == 0 { lists.0.insert(slot, in: &map) } else { lists.1.insert(slot, in: &map) }
    }
    func values(_ list: OwnedList<Item>, _ map: borrowing SlotMap<Item>) -> [Int] {
      var result: [Int] = []
      var next = list.first
      while let slot = next {
        result.append(map[slot].value)
        next = list.next(after: slot, in: map)
      }
      return result
    }
    expect(values(lists.0, map), [4, 2, 0])
    expect(values(lists.1, map), [5, 3, 1])
    lists.0.remove(slots[2], in: &map)
    map.remove(slots[2])
    expect(values(lists.0, map), [4, 0])
    #expect(lists.0.count == 2)
    lists.0.remove(slots[4], in: &map)
    lists.1.remove(slots[1], in: &map)
    expect(values(lists.0, map), [0])
    expect(values(lists.1, map), [5, 3])
    lists.0.remove(slots[0], in: &map)
    #expect(lists.0.first == nil && lists.0.count == 0)
    lists.0.insert(slots[0], in: &map)
    expect(values(lists.0, map), [0])
  }

  private func expect(_ found: [Int], _ expected: [Int], at location: SourceLocation = #_sourceLocation) {
    #expect(found == expected, sourceLocation: location)
  }

  @Test("An optional slot or handle needs no more memory than the value")
  func optionals() {
    #expect(MemoryLayout<OptionalSlot<Int>>.size == 4 && MemoryLayout<OptionalHandle<Int>>.size == 8)
    #expect(OptionalSlot<Int>().slot == nil && OptionalSlot(Slot<Int>(index: 7)).slot == Slot(index: 7))
    let handle = Handle<Int>(index: 7, generation: 3)
    #expect(OptionalHandle<Int>().handle == nil && OptionalHandle(handle).handle == handle)
  }
}
