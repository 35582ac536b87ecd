internal import CLinux
public import NetworkTypes

extension Errno {
  /// The reader has closed the pipe.
  public static let brokenPipe = Errno(rawValue: EPIPE)
}

/// Standard input, output and error.
public enum StandardStreams {
  /// Writes all bytes to standard output, unbuffered.
  public static func write(_ text: String) throws(Errno) { try Files.write(Array(text.utf8), to: 1) }

  public static func write(_ bytes: [UInt8]) throws(Errno) { try Files.write(bytes, to: 1) }

  /// Writes to standard error. Errors are ignored, because there is no other place to report them.
  public static func writeError(_ text: String) { try? Files.write(Array(text.utf8), to: 2) }

  /// Reads standard input to its end, but at most `limit`.
  public static func readInput(limit: ByteCount) throws(FileError) -> [UInt8] {
    let descriptor = FileDescriptor(owning: 0)
    do throws(FileError) {
      let content = try Files.read(descriptor, limit: limit)
      _ = descriptor.release()
      return content
    } catch {
      // Standard input stays open, because otherwise another file would get its number.
      _ = descriptor.release()
      throw error
    }
  }

  /// Whether standard input is a terminal.
  public static var isInputTerminal: Bool { isatty(0) == 1 }

  /// Whether standard output is a terminal.
  public static var isOutputTerminal: Bool { isatty(1) == 1 }

  /// Whether standard error is a terminal.
  public static var isErrorTerminal: Bool { isatty(2) == 1 }
}
