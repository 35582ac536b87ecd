extension Program {
  /// The completion for fish.
  var fishCompletion: String {
    var lines = ["# fish completion for \(name); \(origin)", "complete -c \(name) -f"]
    let words = commands.map(\.word).joined(separator: " ")
    for word in commands {
      lines.append(
        "complete -c \(name) -n 'not __fish_seen_subcommand_from \(words)' -a \(word.word) -d \(word.summary.quotedForFish)"
      )
    }
    for word in commands {
      let condition = "complete -c \(name) -n '__fish_seen_subcommand_from \(word.word)'"
      switch word.operands {
      case .any: break
      case .files: lines.append("\(condition) -F")
      case .words(let words): lines.append("\(condition) -a '\(words.joined(separator: " "))'")
      }
    }
    for option in table.options { lines += fishLines(option) }
    return lines.joined(separator: "\n") + "\n"
  }

  private func fishLines(_ option: Option<Command>) -> [String] {
    let argument: String
    switch option.value {
    case .none: argument = ""
    case .file: argument = " -r -F"
    case .choice(let words): argument = " -x -a '\(words.joined(separator: " "))'"
    case .listed(_, let candidates): argument = " -x -a \("(\(candidates))".quotedForFish)"
    case .text, .number, .time: argument = " -x"
    }
    let names = ([option.name] + option.shortForms).map { name in
      name.hasPrefix("--") ? "-l \(name.dropFirst(2))" : "-s \(name.dropFirst())"
    }
    return [
      "complete -c \(name) \(names.joined(separator: " "))\(argument) -d \(option.helpWithUnit.quotedForFish)"
    ]
  }
}

extension Option {
  /// fish shows no name for a value, so a unit stands in the description.
  fileprivate var helpWithUnit: String {
    switch value {
    case .number("SECONDS", _, _), .time(.seconds, _): "\(help), in seconds"
    case .time(.milliseconds, _): "\(help), in milliseconds"
    case .number("PERCENT", _, _): "\(help), in percent"
    case .number("BYTES", _, _): "\(help), in bytes"
    default: help
    }
  }
}

extension String {
  /// Quoted as one word for fish.
  fileprivate var quotedForFish: String { "'" + replacing("\\", with: "\\\\").replacing("'", with: "\\'") + "'" }
}
