extension Program {
  /// The completion for zsh.
  var zshCompletion: String {
    let specifications = table.options.flatMap(zshSpecifications).map { "    \($0) \\" }.joined(separator: "\n")
    return """
      #compdef \(name)
      # zsh completion for \(name); \(origin)

      _\(name)_commands=(
      \(commands.map { "  '\($0.word):\($0.summary.quotedForZsh)'" }.joined(separator: "\n"))
      )
      \(zshLists)
      _\(name)() {
        local curcontext=$curcontext state line
        _arguments -C \\
      \(specifications)
          '1: :->first' '*: :->rest' && return
        case $state in
          first) _describe command _\(name)_commands || _message '\(targets.isEmpty ? "command" : "host or URI")' ;;
          rest)
            case $line[1] in
      \(zshOperands)        *) _message '\(targets.isEmpty ? "name" : "host or URI")' ;;
            esac ;;
        esac
      }

      _\(name) "$@"

      """
  }

  /// One function for each option whose candidates come from a pipeline.
  private var zshLists: String {
    table.options.map { option in
      guard case .listed(_, let candidates) = option.value else { return "" }
      return "\n\(zshList(option))() { compadd -S '' -- ${(f)\"$(\(candidates))\"} }\n"
    }.joined()
  }

  private func zshList(_ option: Option<Command>) -> String { "_\(name)_\(option.name.dropFirst(2))" }

  private func zshSpecifications(_ option: Option<Command>) -> [String] {
    let argument: String
    switch option.value {
    case .none: argument = ""
    case .file: argument = ":file:_files"
    case .choice(let words): argument = ":word:(\(words.joined(separator: " ")))"
    case .listed(let placeholder, _): argument = ":\(placeholder.lowercased()):\(zshList(option))"
    case .time(let unit, _): argument = ":\(unit.placeholder.lowercased()):"
    case .text(let placeholder), .number(let placeholder, _, _):
      argument = ":\(placeholder.lowercased().replacing(":", with: "\\:")):"
    }
    let excluded = option.excludes.isEmpty ? "" : "(\(option.excludes.joined(separator: " ")))"
    return ([option.name] + option.shortForms).map { name in
      "'\(excluded)\(option.isRepeatable ? "*" : "")\(name)[\(option.help.quotedForZsh)]\(argument)'"
    }
  }

  private var zshOperands: String {
    commands.map { word in
      switch word.operands {
      case .any: ""
      case .files: "        \(word.word)) _files ;;\n"
      case .words(let words): "        \(word.word)) compadd \(words.joined(separator: " ")) ;;\n"
      }
    }.joined()
  }
}

extension String {
  /// Quoted for a description inside single quotes and brackets.
  fileprivate var quotedForZsh: String {
    replacing("'", with: "'\\''").replacing("[", with: "\\[").replacing("]", with: "\\]").replacing(":", with: "\\:")
  }
}
