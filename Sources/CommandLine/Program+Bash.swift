extension Program {
  /// The completion for bash.
  var bashCompletion: String {
    let words = commands.map(\.word).joined(separator: " ")
    return """
      # bash completion for \(name); \(origin)
      _\(name)() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} word command= options=
        local commands="\(words)"
        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
          case " $commands " in *" $word "*) command=$word; break ;; esac
        done
        case $previous in
      \(bashValues)
        esac
        if [[ $current == -* ]]; then
          case $command in
      \(bashOptions)
          esac
          mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
          return
        fi
        case $command in
          "")\(targets.isEmpty ? "" : " compopt -o nospace 2>/dev/null;") options="\((commands.map(\.word) + targets).joined(separator: " "))" ;;
      \(bashOperands)    *) return ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
      }
      complete -F _\(name) \(name)

      """
  }

  /// The completions of each option's value.
  private var bashValues: String {
    var patterns: [(reply: String, names: [String])] = []
    for option in table.options where option.value != .none {
      let reply: String
      switch option.value {
      case .file: reply = "mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); "
      case .choice(let words):
        reply = "mapfile -t COMPREPLY < <(compgen -W \"\(words.joined(separator: " "))\" -- \"$current\"); "
      case .listed(_, let candidates):
        reply =
          "compopt -o nospace; mapfile -t COMPREPLY < <(compgen -W \"$(\(candidates))\" -- \"$current\"); "
      default: reply = ""
      }
      if let index = patterns.firstIndex(where: { $0.reply == reply }) {
        patterns[index].names.append(option.name)
      } else {
        patterns.append((reply, [option.name]))
      }
    }
    return patterns.map { "    \($0.names.joined(separator: " | "))) \($0.reply)return ;;" }.joined(separator: "\n")
  }

  /// The options of each command; without a command, those of the standard commands.
  private var bashOptions: String {
    var lines = commands.map { word in
      "      \(word.word)) options=\"\(table.options(of: word.command).map(\.name).joined(separator: " "))\" ;;"
    }
    let standard = table.options.filter { !$0.commands.isDisjoint(with: standardCommands) || $0.name == "--version" }
    lines.append("      *) options=\"\(standard.map(\.name).joined(separator: " "))\" ;;")
    return lines.joined(separator: "\n")
  }

  private var bashOperands: String {
    commands.map { word in
      switch word.operands {
      case .any: ""
      case .files: "    \(word.word)) mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n"
      case .words(let words):
        "    \(word.word)) [[ $previous == \(word.word) ]] && options=\"\(words.joined(separator: " "))\" ;;\n"
      }
    }.joined()
  }
}
