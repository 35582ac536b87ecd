import Testing

@testable import Tables

@Suite("Records of a handover")
struct RecordCoderTests {
  private struct Sample: Equatable {
    var number: UInt16 = 0
    var flag = false
    var bytes: [UInt8] = []
    var optional: UInt64?
    var handle = Handle<Int>(index: 0, generation: 1)

    mutating func code(with coder: inout RecordCoder) throws(RecordError) {
      try coder.code(&number)
      try coder.code(&flag)
      try coder.code(&bytes)
      try coder.code(&optional)
      try coder.code(&handle)
    }
  }

  private let sample = Sample(
    number: 0xABCD, flag: true, bytes: [1, 2, 3], optional: 1 << 40, handle: Handle(index: 7, generation: 9))

  private func written() throws -> [UInt8] {
    var coder = RecordCoder()
    var copy = sample
    coder.begin(5)
    try copy.code(with: &coder)
    coder.end()
    return coder.bytes
  }

  @Test("A record is read as it was written, and fields of a later version are skipped")
  func roundTrip() throws {
    var later = RecordCoder()
    var copy = sample
    var more: UInt32 = 77
    later.begin(5)
    try copy.code(with: &later)
    try later.code(&more)
    later.end()
    for bytes in [try written(), later.bytes] {
      var coder = RecordCoder(reading: bytes + bytes)
      for _ in 0..<2 {
        #expect(try coder.next() == 5)
        var read = Sample()
        try read.code(with: &coder)
        #expect(read == sample)
        #expect(coder.hasMore == (bytes == later.bytes))
        coder.end()
      }
      #expect(try coder.next() == nil)
    }
  }

  @Test("A cut at any byte, and a flag or list that no writer makes, are errors with their place")
  func damage() throws {
    let bytes = try written()
    for count in 1..<bytes.count {
      var coder = RecordCoder(reading: Array(bytes.prefix(count)))
      #expect(throws: RecordError.self) { try coder.next() }
    }
    var flagged = bytes
    flagged[7] = 2
    var listed = bytes
    listed[11] = 0xFF
    for (changed, problem) in [(flagged, "a flag is neither 0 nor 1"), (listed, "bytes are cut off")] {
      var coder = RecordCoder(reading: changed)
      _ = try coder.next()
      var read = Sample()
      do throws(RecordError) {
        try read.code(with: &coder)
        Issue.record("\(problem) is not noticed")
      } catch {
        #expect(error.problem == problem && "\(error)".contains("at byte"))
      }
    }
  }

  @Test("A restored map has its elements under their handles, and stale handles find nothing")
  func slots() throws {
    var map = SlotMap<Int>()
    let slots = (0..<40).map { map.insert($0) }
    let stale = map.handle(of: slots[3])
    map.remove(slots[3])
    map.remove(slots[20])
    let kept = [slots[0], slots[39]].map { map.handle(of: $0) }
    guard var restored = SlotMap<Int>(restoring: map.shape) else {
      Issue.record("the shape is refused")
      return
    }
    for handle in kept {
      let isRestored = restored.restore(Int(handle.index), at: handle)
      #expect(isRestored)
    }
    // One handle is taken, one is outside of the shape, and one is of a free slot.
    for wrong in [kept[0], Handle<Int>(index: 40, generation: 1), Handle<Int>(index: 5, generation: 2)] {
      let isTaken = restored.restore(1, at: wrong)
      #expect(!isTaken)
    }
    restored.finishRestoring()
    let found = restored.slot(of: kept[1]).map { restored[$0] }
    #expect(restored.count == 2 && found == 39)
    var handles: [Handle<Int>] = []
    for number in 0..<60 { handles.append(restored.handle(of: restored.insert(number))) }
    let late = restored.slot(of: stale)
    #expect(late == nil && Set(handles).count == 60 && restored.count == 62)
    let isTooLarge = SlotMap<Int>(restoring: .init(upperBound: 1 << 21, generation: 1)) == nil
    #expect(isTooLarge)
  }
}
