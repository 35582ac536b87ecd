internal import StringPreparation

/// The keys that fill a settings type: one field for each key. Reading, suggestions, the environment, overrides, the
/// effective configuration, the reload and the reference that `turnpike help` prints all use these fields.
struct Schema<Root> {
  var fields: [Field<Root>]
}

/// When a new value of a key takes effect in a running server.
public enum Effect: Equatable, Sendable {
  /// The new value takes effect at once, with the reload.
  case atOnce
  /// The running server keeps the old value until a restart.
  case atRestart
  /// One part of the value takes effect at once, the other at a restart; the text says which.
  case partly(String)

  /// The text in the reference.
  public var description: String {
    switch self {
    case .atOnce: "at once"
    case .atRestart: "at a restart"
    case .partly(let text): text
    }
  }
}

/// One key: its dotted path, its purpose, its format, and when it takes effect.
struct Field<Root> {
  var path: String
  /// One line for the reference.
  var summary: String
  /// Type and range as text.
  var expectation: String
  /// A valid value, as YAML.
  var example: String
  var takesEffect: Effect
  var read: (RawValue, inout Root, inout ReadingContext) -> Void
  var write: (Root) -> YAMLOutput
  /// Restores the part of the running value that a reload cannot change; true if it differed.
  var keep: (_ running: Root, inout Root) -> Bool

  /// - Parameter keep: restores the part of the value that a reload cannot change; by default all of it (`.atRestart`)
  ///   or nothing.
  init<Value: Equatable>(
    _ path: String, _ property: WritableKeyPath<Root, Value>, _ format: Format<Value>, _ summary: String,
    takesEffect: Effect = .atOnce, keep: ((_ running: Root, inout Root) -> Bool)? = nil
  ) {
    self.path = path
    self.summary = summary
    self.takesEffect = takesEffect
    expectation = format.expectation
    example = format.example
    self.keep =
      keep
      ?? { running, next in
        guard takesEffect == .atRestart, next[keyPath: property] != running[keyPath: property] else { return false }
        next[keyPath: property] = running[keyPath: property]
        return true
      }
    read = { raw, root, context in
      if case .null = raw.content {
        context.report(
          raw.origin, "no value", suggestion: "leave the key out for its default, or \(format.advice)")
      } else if let raw = format.expanded(raw, &context), let value = format.read(raw, &context) {
        root[keyPath: property] = value
      }
    }
    write = { format.write($0[keyPath: property]) }
  }

  /// The environment variable that sets this key.
  var environmentName: String {
    "TURNPIKE_" + path.uppercased().map { $0 == "." || $0 == "-" ? "_" : String($0) }.joined()
  }

  /// The same field within an outer value.
  func within<Outer>(_ property: WritableKeyPath<Outer, Root>, prefix: String) -> Field<Outer> {
    Field<Outer>(
      path: prefix + path, summary: summary, expectation: expectation, example: example, takesEffect: takesEffect,
      read: { raw, outer, context in read(raw, &outer[keyPath: property], &context) },
      write: { write($0[keyPath: property]) },
      keep: { running, next in keep(running[keyPath: property], &next[keyPath: property]) })
  }

  private init(
    path: String, summary: String, expectation: String, example: String, takesEffect: Effect,
    read: @escaping (RawValue, inout Root, inout ReadingContext) -> Void, write: @escaping (Root) -> YAMLOutput,
    keep: @escaping (Root, inout Root) -> Bool
  ) {
    self.path = path
    self.summary = summary
    self.expectation = expectation
    self.example = example
    self.takesEffect = takesEffect
    self.read = read
    self.write = write
    self.keep = keep
  }
}

extension Schema {
  /// Whether keys lie below `path`.
  func isSection(_ path: String) -> Bool { fields.contains { $0.path.hasPrefix(path + ".") } }

  /// Reads a map of the file. `prefix` precedes every path in messages, for records inside a value.
  func read(
    _ entries: [RawValue.Entry], into root: inout Root, prefix: String = "", _ context: inout ReadingContext,
    visit: (String, ConfigurationProblem.Origin) -> Void = { _, _ in }
  ) {
    readSection("", entries, into: &root, prefix: prefix, &context, visit: visit)
  }

  private func readSection(
    _ section: String, _ entries: [RawValue.Entry], into root: inout Root, prefix: String,
    _ context: inout ReadingContext, visit: (String, ConfigurationProblem.Origin) -> Void
  ) {
    for entry in entries {
      let path = section + entry.key
      context.key = prefix + path
      if !entry.key.contains("."), let field = fields.first(where: { $0.path == path }) {
        visit(path, entry.origin)
        field.read(entry.value, &root, &context)
      } else if !entry.key.contains("."), isSection(path) {
        switch entry.value.content {
        case .map(let inner):
          readSection(path + ".", inner, into: &root, prefix: prefix, &context, visit: visit)
        case .null:
          break
        case .scalar, .list, .inline:
          context.report(
            entry.value.origin, "\(entry.value.kind) instead of a map",
            suggestion: "the keys below it are \(keys(below: path).joined(separator: ", "))")
        }
      } else {
        context.report(entry.origin, "unknown key", suggestion: suggestion(for: path))
      }
    }
  }

  /// The suggestion for an unknown key: the nearest key, also from another section, else the keys of the section.
  func suggestion(for path: String) -> String {
    let paths = fields.map(\.path)
    if paths.contains(path) {
      let parts = path.split(separator: ".", maxSplits: 1)
      return "write \(parts.last ?? "") below \(parts.first ?? "")"
    }
    if let nearest = NearestWord.find(path, among: paths + sections) { return "did you mean \(nearest)?" }
    let name = path.lastComponent
    let byName = Dictionary(grouping: paths, by: \.lastComponent)
    if let nearest = NearestWord.find(name, among: byName.keys.sorted()), let owners = byName[nearest] {
      return "did you mean \(owners.joined(separator: " or "))?"
    }
    let section = path.split(separator: ".").dropLast().joined(separator: ".")
    let known = isSection(section) ? keys(below: section) : keys(below: "")
    return "the keys here are \(known.joined(separator: ", "))"
  }

  /// The names directly below a section, `""` being the root.
  private func keys(below section: String) -> [String] {
    var names: [String] = []
    for field in fields where section.isEmpty || field.path.hasPrefix(section + ".") {
      let rest = section.isEmpty ? field.path[...] : field.path.dropFirst(section.count + 1)
      let name = String(rest.prefix { $0 != "." })
      if !names.contains(name) { names.append(name) }
    }
    return names
  }

  private var sections: [String] {
    var result: [String] = []
    for field in fields where field.path.contains(".") {
      let section = field.path.split(separator: ".").dropLast().joined(separator: ".")
      if !result.contains(section) { result.append(section) }
    }
    return result
  }

  /// The value as a tree, sections as maps, in the order of the fields.
  func write(_ root: Root) -> YAMLOutput {
    var tree: [YAMLOutput.Entry] = []
    for field in fields { Self.insert(field.write(root), at: field.path.split(separator: ".")[...], into: &tree) }
    return .map(tree)
  }

  private static func insert(
    _ value: YAMLOutput, at path: ArraySlice<Substring>, into tree: inout [YAMLOutput.Entry]
  ) {
    guard let first = path.first else { return }
    let name = String(first)
    guard path.count > 1 else {
      tree.append(.init(key: name, value: value))
      return
    }
    let index: Int
    var inner: [YAMLOutput.Entry] = []
    if let found = tree.firstIndex(where: { $0.key == name }) {
      index = found
      if case .map(let entries) = tree[found].value { inner = entries }
    } else {
      index = tree.count
      tree.append(.init(key: name, value: .map([])))
    }
    insert(value, at: path.dropFirst(), into: &inner)
    tree[index].value = .map(inner)
  }
}

extension String {
  /// The part after the last dot of a path.
  fileprivate var lastComponent: String { split(separator: ".").last.map(String.init) ?? self }
}
