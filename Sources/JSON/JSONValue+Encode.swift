internal import CJansson

extension JSONValue {
  /// The document as text: on one line, or indented by two spaces.
  ///
  /// Doubles have 15 significant digits, so that 0.1 stays 0.1; NaN and infinity, for which JSON has no form, become
  /// null. A name ends at a NUL, and the last of two members with one name counts.
  public func encode(pretty: Bool = false) -> String {
    let tree = unsafe makeTree()
    defer { unsafe json_decref(tree) }
    let layout = pretty ? cjansson_indent(2) : Int(JSON_COMPACT)
    let flags = layout | Int(JSON_ENCODE_ANY) | cjansson_real_precision(15)
    // This fails only without memory.
    guard let text = unsafe json_dumps(tree, flags) else { return "null" }
    defer { unsafe free(text) }
    return unsafe String(cString: text)
  }

  /// The value as the library's tree, which the caller owns.
  private func makeTree() -> UnsafeMutablePointer<json_t>? {
    switch self {
    case .null:
      return unsafe json_null()
    case .bool(let value):
      return unsafe value ? json_true() : json_false()
    case .integer(let number):
      return unsafe json_integer(number)
    case .double(let number):
      return unsafe number.isFinite ? json_real(number) : json_null()
    case .string(let text):
      var text = text
      return text.withUTF8 { buffer in
        // Sound: an empty string may have no address, and has no bytes to read.
        guard let base = buffer.baseAddress else { return unsafe json_string("") }
        return unsafe base.withMemoryRebound(to: CChar.self, capacity: buffer.count) {
          unsafe json_stringn($0, buffer.count)
        }
      }
    case .array(let elements):
      let array = unsafe json_array()
      // Appending transfers the ownership of the element.
      for element in elements { _ = unsafe json_array_append_new(array, element.makeTree()) }
      return unsafe array
    case .object(let members):
      let object = unsafe json_object()
      for member in members { _ = unsafe json_object_set_new(object, member.name, member.value.makeTree()) }
      return unsafe object
    }
  }
}
