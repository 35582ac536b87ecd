internal import CJansson

/// The reason why a text is not a JSON document.
public enum JSONError: Error, Equatable, Sendable {
  /// The text is longer than the caller's limit.
  case tooLarge
  /// The document has more levels than the caller's limit.
  case tooDeep
  /// Not JSON, or an object with a duplicate name: the fault, and its line, counted from 1.
  case malformed(reason: String, line: Int)
}

extension JSONError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .tooLarge: "the JSON document is too large"
    case .tooDeep: "the JSON document has too many levels"
    case .malformed(let reason, let line): "line \(line): \(reason)"
    }
  }
}

extension JSONValue {
  /// Reads one document of any kind; only white space may follow it.
  ///
  /// - Parameters:
  ///   - sizeLimit: the largest number of bytes.
  ///   - depthLimit: the largest number of nested arrays and objects.
  public static func decode(
    _ bytes: [UInt8], sizeLimit: Int = 1 << 20, depthLimit: Int = 64
  ) throws(JSONError) -> JSONValue {
    guard bytes.count <= sizeLimit else { throw .tooLarge }
    guard depth(of: bytes) <= depthLimit else { throw .tooDeep }
    var error = json_error_t()
    let flags = Int(JSON_DECODE_ANY) | Int(JSON_REJECT_DUPLICATES) | Int(JSON_ALLOW_NUL)
    let loaded = unsafe bytes.withUnsafeBytes { buffer in
      unsafe json_loadb(buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count, flags, &error)
    }
    guard let tree = unsafe loaded else {
      let reason = unsafe withUnsafeBytes(of: &error.text) { text in
        unsafe String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
      }
      // After "near" the library quotes the document, which may contain secrets.
      throw .malformed(reason: Self.withoutQuotation(reason), line: max(Int(error.line), 1))
    }
    defer { unsafe json_decref(tree) }
    return unsafe value(of: tree)
  }

  public static func decode(
    _ text: String, sizeLimit: Int = 1 << 20, depthLimit: Int = 64
  ) throws(JSONError) -> JSONValue {
    try decode(Array(text.utf8), sizeLimit: sizeLimit, depthLimit: depthLimit)
  }

  private static func withoutQuotation(_ reason: String) -> String {
    let words = reason.split(separator: " ", omittingEmptySubsequences: false)
    guard let near = words.firstIndex(of: "near") else { return reason }
    return words[..<near].joined(separator: " ")
  }

  /// The number of nested brackets outside strings, counted before the library allocates memory.
  private static func depth(of bytes: [UInt8]) -> Int {
    var depth = 0
    var deepest = 0
    var isInString = false
    var isEscaped = false
    for byte in bytes {
      if isInString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isInString = true
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        depth += 1
        deepest = max(deepest, depth)
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      default: break
      }
    }
    return deepest
  }

  private static func value(of tree: UnsafeMutablePointer<json_t>) -> JSONValue {
    switch unsafe json_type(UInt32(bitPattern: cjansson_type(tree))) {
    case JSON_OBJECT:
      var members: [Member] = []
      var iterator = unsafe json_object_iter(tree)
      while let current = unsafe iterator {
        if let name = unsafe json_object_iter_key(current), let inner = unsafe json_object_iter_value(current) {
          unsafe members.append(Member(String(cString: name), value(of: inner)))
        }
        unsafe iterator = json_object_iter_next(tree, current)
      }
      return .object(members)
    case JSON_ARRAY:
      return unsafe .array(
        (0..<json_array_size(tree)).compactMap { index in
          unsafe json_array_get(tree, index).map { unsafe value(of: $0) }
        })
    case JSON_STRING:
      guard let text = unsafe json_string_value(tree) else { return .string("") }
      // Sound: the library returns its own bytes and their number; they live as long as the tree.
      let buffer = unsafe UnsafeRawBufferPointer(start: text, count: json_string_length(tree))
      return unsafe .string(String(decoding: buffer, as: UTF8.self))
    case JSON_INTEGER: return unsafe .integer(json_integer_value(tree))
    case JSON_REAL: return unsafe .double(json_real_value(tree))
    case JSON_TRUE: return .bool(true)
    case JSON_FALSE: return .bool(false)
    default: return .null
    }
  }
}
