public import NetIO
internal import Synchronization

/// Standard output. A reader that went away is no error here, but the end of what goes on and on: there is nobody left
/// to tell.
public enum Output {
  private static let error: Mutex<Errno?> = Mutex(nil)
  private static let writing = Mutex(())

  /// Writes a line or a document. Checks run side by side, and a pipe that is full takes what they write in pieces:
  /// each is written whole before the next.
  public static func write(_ text: String) {
    writing.withLock { _ in
      do throws(Errno) { try StandardStreams.write(text) } catch { note(error) }
    }
  }

  private static func note(_ new: Errno) { error.withLock { $0 = $0 ?? new } }

  /// Whether something could not be written.
  public static var isGone: Bool { error.withLock { $0 != nil } }

  /// Why, where it is no reader that went away.
  public static var failure: Errno? { error.withLock { $0 == Errno.brokenPipe ? nil : $0 } }
}
