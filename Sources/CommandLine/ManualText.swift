/// Converts manual text with a little markup to mdoc(7): `` `--option` ``, `` `command` ``, `` `anything` `` and
/// `program(1)`.
enum ManualText {
  private static let begin = ".\\\" Options: made by deploy/generate from the table of options; do not edit."
  private static let end = ".\\\" End of the options."

  /// Replaces the lines between the two marks of the manual.
  static func insert(options: String, into manual: String) -> String {
    var lines: [Substring] = []
    var isInside = false
    for line in manual.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == end { isInside = false }
      if !isInside { lines.append(line) }
      if line == begin {
        isInside = true
        lines.append(Substring(options))
      }
    }
    return lines.joined(separator: "\n")
  }

  /// The lines of one text. `commands`: the program's command words.
  static func lines(_ text: String, commands: Set<String>) -> [String] {
    var lines: [String] = []
    for sentence in text.split(separator: "\n") {
      for (number, piece) in sentence.split(separator: "`", omittingEmptySubsequences: false).enumerated() {
        if number % 2 == 0 { add(String(piece), to: &lines) } else { lines.append(macro(String(piece), commands)) }
      }
    }
    return lines
  }

  /// Adds a piece between two marked words: punctuation at its beginning joins the macro before it.
  private static func add(_ piece: String, to lines: inout [String]) {
    var rest = piece[...]
    while let mark = rest.first, ",.:;)".contains(mark), lines.last?.hasPrefix(".") == true {
      lines[lines.count - 1] += " \(mark)"
      rest = rest.dropFirst()
    }
    while rest.first == " " { rest = rest.dropFirst() }
    while rest.last == " " { rest = rest.dropLast() }
    // roff reads a line that begins with one of these characters as a request.
    if let first = rest.first { lines.append(first == "." || first == "'" ? "\\&\(rest)" : String(rest)) }
  }

  private static func macro(_ word: String, _ commands: Set<String>) -> String {
    if word.hasPrefix("-"), word != "-" { return ".Fl \(word.dropFirst())" }
    if word.hasSuffix(")"), let bracket = word.firstIndex(of: "(") {
      return ".Xr \(word[..<bracket]) \(word[word.index(after: bracket)...].dropLast())"
    }
    if commands.contains(word) || word == "-" { return ".Cm \(word)" }
    return word.hasPrefix("STUNCLIENT_") || word.hasPrefix("TURNLOAD_") ? ".Ev \(word)" : ".Li \(word)"
  }
}

extension Program {
  /// The options as mdoc(7): a subsection for each section of the table.
  var manualOptions: String {
    let words = Set(commands.map(\.word))
    var lines: [String] = []
    for section in table.sections {
      lines += [".Ss \(section.heading)", ".Bl -tag -width Ds"]
      var names: [String] = []
      for option in section.options {
        names += ([option.name] + option.shortForms).dropLast().map { "Fl \($0.dropFirst())" }
        names.append("Fl \((option.shortForms.last ?? option.name).dropFirst())\(option.value.manualArgument)")
        guard !option.manual.isEmpty else { continue }
        lines.append(".It " + names.joined(separator: " , "))
        lines += ManualText.lines(option.manual, commands: words)
        names = []
      }
      lines.append(".El")
    }
    return lines.joined(separator: "\n")
  }
}

extension OptionValue {
  /// The value after an option's name: ` Ar file`.
  fileprivate var manualArgument: String {
    switch self {
    case .none: ""
    case .choice(let words): " Cm " + words.joined(separator: " | ")
    default: " Ar " + (placeholder ?? "").lowercased()
    }
  }
}
