internal import CommandLine
internal import System

@main
struct Turnpike {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    do throws(Failure) {
      Environment.exit(try run(arguments))
    } catch {
      StandardStreams.writeError(error.text)
      Environment.exit(error.status)
    }
  }

  /// Runs a command line and returns the exit status.
  private static func run(_ arguments: [String]) throws(Failure) -> Int32 {
    let parsed = try Arguments(arguments)
    if parsed.has("--version"), !parsed.has("--help") {
      try print("turnpike \(version)")
      return 0
    }
    guard let name = parsed.words.first else { return try run(.serve, parsed, operands: []) }
    guard let command = Command(rawValue: name) else {
      throw .usage(
        "there is no command \(name.debugDescription)",
        hint: nearest(name, among: Command.allCases.map(\.rawValue)) ?? "try: turnpike help")
    }
    return try run(command, parsed, operands: Array(parsed.words.dropFirst()))
  }

  private static func run(_ command: Command, _ parsed: Arguments, operands: [String]) throws(Failure) -> Int32 {
    if parsed.has("--help") {
      try print(command.help)
      return 0
    }
    if let option = parsed.options.first(where: { !$0.commands.contains(command) }) {
      throw .usage(
        "\(command.rawValue) has no option \(option.name)", hint: "try: turnpike help \(command.rawValue)")
    }
    return try command.run(Invocation(command: command, arguments: parsed, operands: operands))
  }
}

/// Prints on standard output; fails if the disk is full or the pipe is closed.
func print(_ text: String) throws(Failure) {
  do throws(Errno) {
    try StandardStreams.write(text.hasSuffix("\n") ? text : text + "\n")
  } catch {
    throw .failed("standard output: \(error)")
  }
}

/// Writes a message to standard error.
func tell(_ text: String) { StandardStreams.writeError("turnpike: \(text)\n") }
