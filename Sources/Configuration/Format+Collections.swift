extension Format {
  /// A list of `element`s; in the environment and in `--set` parted by commas.
  static func list<Element>(_ element: Format<Element>, isEmptyAllowed: Bool = true) -> Format
  where Value == [Element] {
    let expectation = "a list, each \(element.expectation)"
    let advice = "write, for example, [\(element.example)]"
    return Format(
      expectation: expectation, example: "[\(element.example)]", isSecret: element.isSecret,
      read: { raw, context in
        guard let items = raw.items else {
          context.report(raw.origin, "\(raw.kind) instead of \(expectation)", suggestion: advice)
          return nil
        }
        // Every element is read, so that every wrong one is told.
        let values = items.map { element.read($0, &context) }
        guard isEmptyAllowed || !values.isEmpty else {
          context.report(raw.origin, "an empty list", suggestion: advice)
          return nil
        }
        return values.contains { $0 == nil } ? nil : values.compactMap { $0 }
      },
      write: { .list($0.map(element.write)) })
  }

  /// A list in which nothing may stand twice. `identity` tells what must differ.
  func distinct<Element, Identity: Hashable>(by identity: @escaping (Element) -> Identity) -> Format
  where Value == [Element] {
    var copy = self
    let isSecret = isSecret
    copy.read = { raw, context in
      guard let values = read(raw, &context) else { return nil }
      var seen: Set<Identity> = []
      var isDistinct = true
      // Element by element, to name the line of the second one.
      for (item, value) in zip(raw.items ?? [], values) where !seen.insert(identity(value)).inserted {
        let text = isSecret ? "a value" : item.scalarText?.quoted ?? "a value"
        context.report(item.origin, "\(text) is given twice", suggestion: "keep one of the two")
        isDistinct = false
      }
      return isDistinct ? values : nil
    }
    return copy
  }

  /// A map of names to `element`s; in the environment and in `--set` written `a=b,c=d`.
  static func map<Name: Hashable & Comparable, Element>(
    _ name: Format<Name>, _ element: Format<Element>
  ) -> Format where Value == [Name: Element] {
    let expectation = "a map, each name \(name.expectation), each value \(element.expectation)"
    let advice = "write, for example, { \(name.example): \(element.example) }"
    return Format(
      expectation: expectation, example: "{ \(name.example): \(element.example) }",
      read: { raw, context in
        guard let entries = raw.entries(&context, advice: advice) else {
          if case .inline = raw.content { return nil }
          context.report(raw.origin, "\(raw.kind) instead of \(expectation)", suggestion: advice)
          return nil
        }
        let outer = context.key
        defer { context.key = outer }
        var result: [Name: Element] = [:]
        var isComplete = true
        for entry in entries {
          context.key = "\(outer).\(entry.key)"
          let key = name.read(RawValue(content: .scalar(entry.key), origin: entry.origin), &context)
          let value = element.read(entry.value, &context)
          guard let key, let value else {
            isComplete = false
            continue
          }
          if result.updateValue(value, forKey: key) != nil {
            context.report(entry.origin, "\(entry.key.quoted) is given twice", suggestion: "keep one of the two")
            isComplete = false
          }
        }
        return isComplete ? result : nil
      },
      write: { values in
        .map(
          values.sorted { $0.key < $1.key }.map { key, value in
            YAMLOutput.Entry(key: name.write(key).scalarText, value: element.write(value))
          })
      })
  }

  /// A record with keys of its own. In the environment and in `--set` it is written as YAML: `{id: a, key: b}`.
  static func record(_ schema: Schema<Value>, initial: Value, example: String) -> Format {
    let advice = "write, for example, \(example)"
    return Format(
      expectation: "a map with the keys \(schema.fields.map(\.path).joined(separator: ", "))", example: example,
      read: { raw, context in
        guard case .map(let entries) = raw.content else {
          context.report(raw.origin, "\(raw.kind) instead of a map", suggestion: advice)
          return nil
        }
        let outer = context.key
        defer { context.key = outer }
        let before = context.problems.count
        var value = initial
        schema.read(entries, into: &value, prefix: outer + ".", &context)
        return context.problems[before...].contains { $0.severity == .error } ? nil : value
      },
      write: { value in schema.write(value) })
  }

  /// Values that are lists or maps of records are written as YAML in the environment and in `--set`.
  var readingInlineYAML: Format {
    var copy = self
    copy.read = { raw, context in
      guard case .inline(let text) = raw.content else { return read(raw, &context) }
      var reader = YAMLReader { _ in raw.origin }
      guard let value = reader.read(Array(text.utf8)) else {
        for problem in reader.problems {
          context.report(raw.origin, problem.message, suggestion: "write it as in the file: \(example)")
        }
        if reader.problems.isEmpty { context.report(raw.origin, "no value", suggestion: advice) }
        return nil
      }
      return read(value, &context)
    }
    return copy
  }
}

extension RawValue {
  /// The elements of a list.
  var items: [RawValue]? {
    switch content {
    case .list(let items): items
    case .inline(let text):
      text.trimmingSpaces.isEmpty
        ? []
        : text.split(separator: ",", omittingEmptySubsequences: false).map {
          RawValue(content: .scalar(String($0.trimmingSpaces)), origin: origin)
        }
    case .null, .scalar, .map: nil
    }
  }

  /// The entries of a map; nil where it is none (for inline text after a report).
  fileprivate func entries(_ context: inout ReadingContext, advice: String) -> [Entry]? {
    switch content {
    case .map(let entries):
      return entries
    case .inline(let text):
      var entries: [Entry] = []
      if text.trimmingSpaces.isEmpty { return entries }
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard pair.count == 2 else {
          context.report(origin, "an entry without NAME=VALUE", suggestion: "write NAME=VALUE,NAME=VALUE")
          return nil
        }
        let value = RawValue(content: .scalar(String(pair[1].trimmingSpaces)), origin: origin)
        entries.append(Entry(key: String(pair[0].trimmingSpaces), origin: origin, value: value))
      }
      return entries
    case .null, .scalar, .list:
      return nil
    }
  }
}
