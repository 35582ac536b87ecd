/// The keys of a translation in order, each with its line in the source file.
struct TranslatedKeys {
  private struct Key {
    var value: Value
    var line: Int
  }

  fileprivate enum Value {
    case scalar(String)
    case list([(text: String, line: Int)])
    case map([(name: String, text: String, line: Int)])
  }

  /// The keys with their dotted paths, such as `relay.ports`.
  private var keys: [(path: String, key: Key)] = []

  /// Sets a key to one value, and replaces an earlier value.
  mutating func set(_ path: String, _ text: String, _ line: Int) { change(path, line) { $0 = .scalar(text) } }

  /// Adds an element to a list.
  mutating func append(_ path: String, _ text: String, _ line: Int) {
    change(path, line) { value in
      var items: [(text: String, line: Int)] = []
      if case .list(let present) = value { items = present }
      if !items.contains(where: { $0.text == text }) { items.append((text, line)) }
      value = .list(items)
    }
  }

  /// Sets an item of a map.
  mutating func setItem(_ path: String, _ name: String, _ text: String, _ line: Int) {
    change(path, line) { value in
      var items: [(name: String, text: String, line: Int)] = []
      if case .map(let present) = value { items = present }
      items.removeAll { $0.name == name }
      items.append((name, text, line))
      value = .map(items)
    }
  }

  private mutating func change(_ path: String, _ line: Int, _ body: (inout Value) -> Void) {
    if let index = keys.firstIndex(where: { $0.path == path }) {
      body(&keys[index].key.value)
    } else {
      var value = Value.scalar("")
      body(&value)
      keys.append((path, Key(value: value, line: line)))
    }
  }

  // MARK: - Forms

  /// The keys as a configuration file. Keys of one section are together, at the position of the first of them.
  var output: YAMLOutput {
    var entries: [YAMLOutput.Entry] = []
    for (path, key) in keys {
      let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
      guard parts.count == 2 else {
        entries.append(.init(key: path, value: key.value.output))
        continue
      }
      let item = YAMLOutput.Entry(key: parts[1], value: key.value.output)
      if let index = entries.firstIndex(where: { $0.key == parts[0] }), case .map(let present) = entries[index].value {
        entries[index].value = .map(present + [item])
      } else {
        entries.append(.init(key: parts[0], value: .map([item])))
      }
    }
    return .map(entries)
  }

  /// The keys as the configuration reader gets them, with their lines in the file at `path`.
  func raw(path file: String) -> [RawValue.Entry] {
    var entries: [RawValue.Entry] = []
    for (path, key) in keys {
      let origin = ConfigurationProblem.Origin.file(path: file, line: key.line)
      let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
      let value = key.value.raw(origin, file)
      guard parts.count == 2 else {
        entries.append(.init(key: path, origin: origin, value: value))
        continue
      }
      let item = RawValue.Entry(key: parts[1], origin: origin, value: value)
      if let index = entries.firstIndex(where: { $0.key == parts[0] }),
        case .map(let present) = entries[index].value.content
      {
        entries[index].value.content = .map(present + [item])
      } else {
        entries.append(.init(key: parts[0], origin: origin, value: RawValue(content: .map([item]), origin: origin)))
      }
    }
    return entries
  }
}

extension TranslatedKeys.Value {
  fileprivate var output: YAMLOutput {
    switch self {
    case .scalar(let text): .text(text)
    case .list(let items): .list(items.map { .text($0.text) })
    case .map(let items): .map(items.map { .init(key: $0.name, value: .text($0.text)) })
    }
  }

  fileprivate func raw(_ origin: ConfigurationProblem.Origin, _ file: String) -> RawValue {
    func text(_ text: String, _ line: Int) -> RawValue {
      RawValue(content: .scalar(text), origin: .file(path: file, line: line))
    }
    return switch self {
    case .scalar(let text): RawValue(content: .scalar(text), origin: origin)
    case .list(let items): RawValue(content: .list(items.map { text($0.text, $0.line) }), origin: origin)
    case .map(let items):
      RawValue(
        content: .map(
          items.map { item in
            .init(key: item.name, origin: .file(path: file, line: item.line), value: text(item.text, item.line))
          }), origin: origin)
    }
  }
}
