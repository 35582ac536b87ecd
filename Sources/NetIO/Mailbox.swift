internal import CLinux
internal import Synchronization

/// Letters to a thread that waits in an `EventLoop`: a bounded queue and a descriptor that becomes readable.
///
/// For control messages (settings, answers of stores), not for media. A full box refuses.
public final class Mailbox<Message: Sendable>: Sendable {
  private let queue = Mutex<[Message]>([])
  private let bell: FileDescriptor
  private let capacity: Int

  public init(capacity: Int) throws(Errno) {
    self.capacity = capacity
    bell = FileDescriptor(
      owning: try retrying32 { eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK)) })
  }

  /// What an event loop waits for.
  public var rawValue: Int32 { bell.rawValue }

  /// Posts a letter; false where the box is full.
  ///
  /// - Parameter limit: how many letters may wait already, for those that must leave room for more important ones.
  @discardableResult
  public func post(_ message: sending Message, unlessMoreThan limit: Int = .max) -> Bool {
    let isPosted = queue.withLock { queue in
      guard queue.count < min(capacity, limit) else { return false }
      queue.append(message)
      return true
    }
    if isPosted { ring() }
    return isPosted
  }

  /// Wakes the reader as a letter would.
  public func ring() {
    var one: UInt64 = 1
    _ = unsafe write(bell.rawValue, &one, 8)
  }

  /// Takes all letters, oldest first.
  public func takeAll() -> [Message] {
    var count: UInt64 = 0
    _ = unsafe read(bell.rawValue, &count, 8)
    return queue.withLock { queue in
      let messages = queue
      queue = []
      return messages
    }
  }
}
