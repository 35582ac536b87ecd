extension Format {
  /// A list of `element`s; separated by commas in the environment and in `--set`.
  static func list<Element>(_ element: Format<Element>, isEmptyAllowed: Bool = true) -> Format
  where Value == [Element] {
    let expectation = "a list, each \(element.expectation)"
    let advice = "write, for example, [\(element.example)]"
    return Format(
      expectation: expectation, example: "[\(element.example)]", isSecret: element.isSecret, inlineYAML: .bracketed,
      read: { raw, context in
        guard let items = raw.items else {
          context.report(raw.origin, "\(raw.kind) instead of \(expectation)", suggestion: advice)
          return nil
        }
        // Every element is read, so that every wrong one is reported.
        let values = items.map { element.read($0, &context) }
        guard isEmptyAllowed || !values.isEmpty else {
          context.report(raw.origin, "an empty list", suggestion: advice)
          return nil
        }
        return values.contains { $0 == nil } ? nil : values.compactMap { $0 }
      },
      write: { .list($0.map(element.write)) })
  }

  /// A list without duplicates; `identity` gives the property that must differ.
  func distinct<Element, Identity: Hashable>(by identity: @escaping (Element) -> Identity) -> Format
  where Value == [Element] {
    var copy = self
    let isSecret = isSecret
    copy.read = { raw, context in
      guard let values = read(raw, &context) else { return nil }
      var seen: Set<Identity> = []
      var isDistinct = true
      // Each element is checked separately, so that the error names the line of the second one.
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
      expectation: expectation, example: "{ \(name.example): \(element.example) }", isSecret: element.isSecret,
      inlineYAML: .bracketed,
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

  /// A record with its own keys. In the environment and in `--set` it is written as YAML: `{id: a, key: b}`.
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

  /// The format for lists and maps of records, which the environment and `--set` give as YAML.
  var readingInlineYAML: Format {
    var copy = self
    copy.inlineYAML = .always
    return copy
  }

  /// The value of an environment variable or `--set` in the form for `read`: parsed as YAML if the key allows it and
  /// the text looks like it. Nil after the problem has been reported.
  func expanded(_ raw: RawValue, _ context: inout ReadingContext) -> RawValue? {
    guard case .inline(let text) = raw.content else { return raw }
    let trimmed = text.trimmingSpaces
    let isBracketed =
      trimmed.hasPrefix("[") && trimmed.hasSuffix("]") || trimmed.hasPrefix("{") && trimmed.hasSuffix("}")
    switch inlineYAML {
    case .never: return raw
    case .bracketed where !isBracketed: return raw
    case .bracketed, .always: break
    }
    var reader = YAMLReader { _ in raw.origin }
    if let value = reader.read(Array(text.utf8)) { return value }
    // `[2001:db8::1],[2001:db8::2]`: addresses in brackets, separated by commas.
    if inlineYAML == .bracketed, !isSecret { return raw }
    for problem in reader.problems {
      context.report(raw.origin, problem.message, suggestion: "write it as in the file: \(example)")
    }
    if reader.problems.isEmpty { context.report(raw.origin, "no value", suggestion: advice) }
    return nil
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

  /// The entries of a map; nil if it is no map (reported for inline text).
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
