internal import Synchronization
public import System

/// Standard output. A closed pipe (EPIPE) ends `ping` quietly; every other error is reported when the program ends.
public enum Output {
  private static let error: Mutex<Errno?> = Mutex(nil)
  private static let writing = Mutex(())

  /// Writes a line or a document. Checks run on several threads, and a full pipe accepts only parts of a text: the lock
  /// keeps each text in one piece.
  public static func write(_ text: String) {
    writing.withLock { _ in
      do throws(Errno) { try StandardStreams.write(text) } catch { record(error) }
    }
  }

  private static func record(_ new: Errno) { error.withLock { $0 = $0 ?? new } }

  /// Whether a write has failed.
  public static var isGone: Bool { error.withLock { $0 != nil } }

  /// The error of a failed write; nil for a closed pipe.
  public static var failure: Errno? { error.withLock { $0 == Errno.brokenPipe ? nil : $0 } }
}
