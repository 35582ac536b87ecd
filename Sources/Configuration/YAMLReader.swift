internal import CYAML

/// Reads one YAML document (from libyaml's events) into raw values with their lines.
///
/// It accepts the features that a configuration needs and refuses the others by name: aliases (and so documents that
/// expand without limit), tags, several documents, keys that are not plain text, and duplicate keys. Depth and number
/// of values are limited.
struct YAMLReader {
  /// Limit of a document's bytes.
  static let largestDocument = 1 << 20
  static let greatestDepth = 16
  static let mostValues = 50_000

  private let makeOrigin: (Int) -> ConfigurationProblem.Origin
  private var open: [Container] = []
  private var root: RawValue?
  private var valueCount = 0
  private(set) var problems: [ConfigurationProblem] = []

  /// A list or map that has not ended yet.
  private struct Container {
    var isMap: Bool
    var origin: ConfigurationProblem.Origin
    var items: [RawValue] = []
    var entries: [RawValue.Entry] = []
    var names: Set<String> = []
    /// The key whose value comes next.
    var key: (name: String, origin: ConfigurationProblem.Origin, isRepeated: Bool)?
  }

  init(origin: @escaping (Int) -> ConfigurationProblem.Origin) { makeOrigin = origin }

  /// The document's value; nil if it is empty. Errors are added to `problems`.
  mutating func read(_ bytes: [UInt8]) -> RawValue? {
    guard bytes.count <= Self.largestDocument else {
      refuse(line: 1, "has more than 1 MiB", suggestion: "keep long values in files of their own: file:PATH")
      return nil
    }
    guard Self.isUTF16(bytes) || firstLineThatIsNoUTF8(bytes) == nil else {
      refuse(
        line: firstLineThatIsNoUTF8(bytes) ?? 1, "has bytes that are no UTF-8 text",
        suggestion: "save the file as UTF-8")
      return nil
    }
    // The parser has a fixed address, because libyaml keeps pointers into it. Every exit frees it.
    let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    defer { unsafe parser.deallocate() }
    guard unsafe yaml_parser_initialize(parser) == 1 else {
      refuse(line: 1, "cannot be read: out of memory")
      return nil
    }
    defer { unsafe yaml_parser_delete(parser) }
    unsafe bytes.withUnsafeBufferPointer { buffer in
      // Sound: the parser uses the buffer only within this closure.
      unsafe yaml_parser_set_input_string(parser, buffer.baseAddress, buffer.count)
      while unsafe step(parser) {}
    }
    return problems.isEmpty ? root : nil
  }

  /// libyaml reads UTF-16 that begins with a byte order mark.
  private static func isUTF16(_ bytes: [UInt8]) -> Bool {
    bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
  }

  /// Handles one event; false at the end of the stream or after an error.
  private mutating func step(_ parser: UnsafeMutablePointer<yaml_parser_t>) -> Bool {
    var event = unsafe yaml_event_t()
    guard unsafe yaml_parser_parse(parser, &event) == 1 else {
      unsafe reportSyntax(parser)
      return false
    }
    defer { unsafe yaml_event_delete(&event) }
    let line = unsafe Int(event.start_mark.line) + 1
    switch unsafe event.type {
    case YAML_STREAM_END_EVENT:
      return false
    case YAML_DOCUMENT_START_EVENT where root != nil:
      refuse(line: line, "a second document begins here", suggestion: "remove the line ---")
      return false
    case YAML_ALIAS_EVENT:
      refuse(line: line, "aliases (*name) are not read here", suggestion: "write the value out")
      return false
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      let text = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
      let isPlain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE
      return unsafe begin(line, tag: scalar.tag) && take(text, isPlain: isPlain, line: line)
    case YAML_SEQUENCE_START_EVENT:
      return unsafe begin(line, tag: event.data.sequence_start.tag) && push(isMap: false, line: line)
    case YAML_MAPPING_START_EVENT:
      return unsafe begin(line, tag: event.data.mapping_start.tag) && push(isMap: true, line: line)
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
      return pop()
    default:
      return true
    }
  }

  /// Whether another value may begin: neither too many nor tagged.
  private mutating func begin(_ line: Int, tag: UnsafeMutablePointer<yaml_char_t>?) -> Bool {
    valueCount += 1
    guard valueCount <= Self.mostValues else {
      refuse(line: line, "more than \(Self.mostValues) values", suggestion: "shorten the configuration")
      return false
    }
    guard unsafe tag == nil else {
      refuse(line: line, "tags (!name) are not read here", suggestion: "remove the tag")
      return false
    }
    return true
  }

  private mutating func push(isMap: Bool, line: Int) -> Bool {
    guard open.count < Self.greatestDepth else {
      refuse(line: line, "more than \(Self.greatestDepth) levels", suggestion: "no key needs that many")
      return false
    }
    if let last = open.indices.last, open[last].isMap, open[last].key == nil {
      refuse(line: line, "a key must be plain text", suggestion: "write KEY: VALUE")
      return false
    }
    open.append(Container(isMap: isMap, origin: makeOrigin(line)))
    return true
  }

  private mutating func pop() -> Bool {
    guard let container = open.popLast() else { return false }
    let content = container.isMap ? RawValue.Content.map(container.entries) : .list(container.items)
    attach(RawValue(content: content, origin: container.origin))
    return true
  }

  private mutating func take(_ text: String, isPlain: Bool, line: Int) -> Bool {
    let origin = makeOrigin(line)
    if let last = open.indices.last, open[last].isMap, open[last].key == nil {
      let isRepeated = !open[last].names.insert(text).inserted
      if isRepeated {
        refuse(line: line, "the key \(text.quoted) is given twice", suggestion: "keep one of the two")
      }
      open[last].key = (text, origin, isRepeated)
      return true
    }
    let isNull = isPlain && ["", "~", "null", "Null", "NULL"].contains(text)
    attach(RawValue(content: isNull ? .null : .scalar(text), origin: origin))
    return true
  }

  /// Adds a complete value to the innermost open container, or sets the root.
  private mutating func attach(_ value: RawValue) {
    guard let last = open.indices.last else {
      root = value
      return
    }
    guard open[last].isMap else {
      open[last].items.append(value)
      return
    }
    guard let key = open[last].key else { return }
    open[last].key = nil
    if !key.isRepeated { open[last].entries.append(.init(key: key.name, origin: key.origin, value: value)) }
  }

  private mutating func reportSyntax(_ parser: UnsafeMutablePointer<yaml_parser_t>) {
    let reason = unsafe parser.pointee.problem.map { unsafe String(cString: $0) } ?? "unreadable"
    let line = unsafe Int(parser.pointee.problem_mark.line) + 1
    let column = unsafe Int(parser.pointee.problem_mark.column) + 1
    refuse(
      line: line, "is not YAML: \(reason.escapingControls) (column \(column))",
      suggestion: "indent with spaces, and put values with : # [ or { in quotation marks")
  }

  private mutating func refuse(line: Int, _ message: String, suggestion: String? = nil) {
    problems.append(ConfigurationProblem(at: makeOrigin(line), message, suggestion: suggestion))
  }
}
