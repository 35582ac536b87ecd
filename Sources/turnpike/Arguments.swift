internal import CommandLine

/// A parsed command line. Options may stand anywhere; `--` ends them.
struct Arguments {
  private(set) var words: [String] = []
  private var values: [String: [String]] = [:]

  init(_ arguments: [String]) throws(Failure) {
    var reader = OptionReader(arguments, Command.table)
    do throws(UsageError) {
      while let item = try reader.next() {
        switch item {
        case .word(let word): words.append(word)
        case .option(let given): try take(given)
        }
      }
    } catch {
      throw .usage(error.message, hint: "try: turnpike help")
    }
  }

  /// The options on the command line, in the order of the table.
  var options: [Option<Command>] { Command.table.options.filter { values[$0.name] != nil } }

  func has(_ option: String) -> Bool { values[option] != nil }

  func all(_ option: String) -> [String] { values[option] ?? [] }

  subscript(option: String) -> String? { values[option]?.last }

  /// A second `--set` adds to the first. Any other option may stand only once: a second one is probably a mistake.
  private mutating func take(_ given: GivenOption<Command>) throws(UsageError) {
    let option = given.option
    let text = try given.choice()
    guard option.isRepeatable || values[option.name] == nil else { throw UsageError("\(option.name) is given twice") }
    if let placeholder = option.value.placeholder {
      guard !given.text.isEmpty else { throw UsageError("\(option.name) needs a value: \(placeholder)") }
      guard option.name != "--set" || given.text.contains("=") else {
        throw UsageError("--set \(given.text.debugDescription) has no value: write --set KEY=VALUE")
      }
    }
    values[option.name, default: []].append(text)
  }
}
