internal import CLinux

extension Errno {
  /// Whoever read what is written has gone.
  public static let brokenPipe = Errno(rawValue: EPIPE)
}

/// Standard input, output and error.
public enum StandardStreams {
  /// Writes to standard output, at once and whole.
  public static func write(_ text: String) throws(Errno) { try Files.write(Array(text.utf8), to: 1) }

  /// Writes to standard error; that it can't be written has nowhere to be told.
  public static func writeError(_ text: String) { try? Files.write(Array(text.utf8), to: 2) }

  /// Reads standard input to its end: at most `limit` bytes.
  public static func readInput(limit: Int) throws(FileError) -> [UInt8] {
    let descriptor = FileDescriptor(owning: 0)
    do throws(FileError) {
      let content = try Files.read(descriptor, limit: limit)
      _ = descriptor.release()
      return content
    } catch {
      // Standard input stays open: another file would take its number.
      _ = descriptor.release()
      throw error
    }
  }

  /// Whether somebody types the input, rather than a file or a program.
  public static var isInputTerminal: Bool { isatty(0) == 1 }

  /// Whether somebody watches standard output.
  public static var isOutputTerminal: Bool { isatty(1) == 1 }

  /// Whether somebody watches standard error.
  public static var isErrorTerminal: Bool { isatty(2) == 1 }
}
