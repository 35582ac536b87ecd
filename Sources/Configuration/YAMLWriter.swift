internal import CYAML
internal import Log

/// Writes values as YAML with libyaml's emitter.
@safe
struct YAMLWriter: ~Copyable {
  // libyaml keeps pointers to `emitter` and `output`, so their addresses must not change. Both are freed in deinit.
  private let emitter: UnsafeMutablePointer<yaml_emitter_t>
  private let output: UnsafeMutablePointer<[UInt8]>

  static func document(_ value: YAMLOutput) -> String {
    var writer = YAMLWriter(showsUnicode: !value.hasInvisibleText)
    writer.write(value, isFlow: false)
    return writer.finish()
  }

  static func inline(_ value: YAMLOutput) -> String {
    var writer = YAMLWriter(showsUnicode: !value.hasInvisibleText)
    // The value is written as the only item of a list, because a single plain text would be followed by a line of dots.
    writer.write(.list([value]), isFlow: false)
    let list = writer.finish()
    return String(list.dropFirst("- ".count).dropLast())
  }

  /// - Parameter showsUnicode: whether characters beyond ASCII are written unescaped.
  private init(showsUnicode: Bool) {
    unsafe emitter = .allocate(capacity: 1)
    unsafe output = .allocate(capacity: 1)
    unsafe output.initialize(to: [])
    // This call fails only without memory, when Swift's own allocations end the process too. `check`, `help` and
    // `import` write YAML, and the server writes it for GET /api/v1/configuration: the text comes from the settings,
    // never from a packet.
    guard unsafe yaml_emitter_initialize(emitter) == 1 else { fatalError("no memory for libyaml") }
    unsafe yaml_emitter_set_output(
      emitter,
      { data, bytes, count in
        // Sound: `data` is `output`, which lives as long as the emitter.
        unsafe data?.assumingMemoryBound(to: [UInt8].self).pointee.append(
          contentsOf: UnsafeBufferPointer(start: bytes, count: count))
        return 1
      }, output)
    unsafe yaml_emitter_set_unicode(emitter, showsUnicode ? 1 : 0)
    // Lines are not wrapped.
    unsafe yaml_emitter_set_width(emitter, -1)
    unsafe emit { unsafe yaml_stream_start_event_initialize(&$0, YAML_UTF8_ENCODING) }
    unsafe emit { unsafe yaml_document_start_event_initialize(&$0, nil, nil, nil, 1) }
  }

  deinit {
    unsafe yaml_emitter_delete(emitter)
    unsafe emitter.deallocate()
    unsafe output.deinitialize(count: 1)
    unsafe output.deallocate()
  }

  private consuming func finish() -> String {
    unsafe emit { unsafe yaml_document_end_event_initialize(&$0, 1) }
    unsafe emit { unsafe yaml_stream_end_event_initialize(&$0) }
    return unsafe String(decoding: output.pointee, as: UTF8.self)
  }

  private mutating func write(_ value: YAMLOutput, isFlow: Bool) {
    switch value {
    case .omitted: break
    case .plain(let text): write(text, isPlain: true)
    case .text(let text), .secret(_, let text): write(text, isPlain: text.isPlainInYAML)
    case .list(let items):
      let style = isFlow || items.isEmpty ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE
      unsafe emit { unsafe yaml_sequence_start_event_initialize(&$0, nil, nil, 1, style) }
      for item in items { write(item, isFlow: true) }
      unsafe emit { unsafe yaml_sequence_end_event_initialize(&$0) }
    case .map(let entries):
      let style = isFlow || entries.isEmpty ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE
      unsafe emit { unsafe yaml_mapping_start_event_initialize(&$0, nil, nil, 1, style) }
      for entry in entries {
        if case .omitted = entry.value { continue }
        write(entry.key, isPlain: entry.key.isPlainInYAML)
        write(entry.value, isFlow: isFlow)
      }
      unsafe emit { unsafe yaml_mapping_end_event_initialize(&$0) }
    }
  }

  /// Writes a text. libyaml adds quotation marks if they are needed.
  private mutating func write(_ text: String, isPlain: Bool) {
    var text = text
    let style = isPlain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE
    text.withUTF8 { bytes in
      unsafe emit {
        unsafe yaml_scalar_event_initialize(&$0, nil, nil, bytes.baseAddress, Int32(bytes.count), 1, 1, style)
      }
    }
  }

  /// Makes and emits an event. Both can fail only without memory, because texts are UTF-8 and events are in a valid
  /// order. As in `init`, the text never comes from a packet.
  private func emit(_ make: (inout yaml_event_t) -> Int32) {
    var event = unsafe yaml_event_t()
    guard unsafe make(&event) == 1, unsafe yaml_emitter_emit(emitter, &event) == 1 else {
      fatalError("libyaml cannot write: is there no memory?")
    }
  }
}

extension String {
  /// Whether every reader reads the plain text as a text, and not as a number, a boolean or null.
  fileprivate var isPlainInYAML: Bool {
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
    return (first.map { $0.isLetter || $0 == "/" } ?? false) && !reserved.contains(lowercased())
  }
}

extension YAMLOutput {
  /// Whether the value has characters that a terminal does not show, or that reorder its text. libyaml escapes them
  /// only if it escapes everything beyond ASCII.
  fileprivate var hasInvisibleText: Bool {
    switch self {
    case .plain(let text), .text(let text), .secret(_, let text): text.unicodeScalars.contains(where: \.isInvisible)
    case .list(let items): items.contains(where: \.hasInvisibleText)
    case .map(let entries):
      entries.contains { $0.key.unicodeScalars.contains(where: \.isInvisible) || $0.value.hasInvisibleText }
    case .omitted: false
    }
  }
}
