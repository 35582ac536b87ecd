internal import CLinux

/// The terminal from which the program was started.
public enum Terminal {
  /// Limit of an answer's bytes; more bytes are ignored.
  public static let answerLimit = 1024

  /// Prints a question and reads a line without echo; nil if there is no terminal or the user types Ctrl-C or Ctrl-D.
  /// The terminal's settings are restored before this returns.
  public static func askSecretly(_ question: String) -> [UInt8]? {
    let raw = unsafe clinux_open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY, 0)
    guard raw >= 0 else { return nil }
    let terminal = FileDescriptor(owning: raw)
    var before = termios()
    guard unsafe tcgetattr(terminal.rawValue, &before) == 0 else { return nil }
    var silent = before
    // Single bytes, no echo and no signals from keys, so that the program cannot end before the settings are restored.
    silent.c_lflag &= ~tcflag_t(ECHO | ICANON | ISIG)
    guard unsafe tcsetattr(terminal.rawValue, TCSAFLUSH, &silent) == 0 else { return nil }
    try? Files.write(Array(question.utf8), to: terminal.rawValue)
    let answer = readLine(terminal)
    try? Files.write([UInt8(ascii: "\n")], to: terminal.rawValue)
    _ = unsafe tcsetattr(terminal.rawValue, TCSAFLUSH, &before)
    return answer
  }

  private static func readLine(_ terminal: borrowing FileDescriptor) -> [UInt8]? {
    let raw = terminal.rawValue
    var line: [UInt8] = []
    while true {
      var byte: UInt8 = 0
      guard let count = try? retrying({ unsafe read(raw, &byte, 1) }), count == 1 else { return nil }
      switch byte {
      case 0x0A, 0x0D: return line
      case 0x03, 0x04: return nil
      // Backspace removes a whole UTF-8 character, Ctrl-U the whole line.
      case 0x08, 0x7F:
        while let last = line.popLast(), last & 0xC0 == 0x80 {}
      case 0x15: line = []
      default: if line.count < answerLimit { line.append(byte) }
      }
    }
  }
}
