/// A value that few records have: eight bytes in the record, and a block of the heap only while there is a value.
@propertyWrapper
struct Rare<Value> {
  /// Empty, or with the one value: an empty array has no block.
  private var block: [Value]

  init(wrappedValue: Value?) { block = wrappedValue.map { [$0] } ?? [] }

  var wrappedValue: Value? {
    get { block.first }
    set { block = newValue.map { [$0] } ?? [] }
  }
}
