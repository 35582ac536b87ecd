internal import CLinux
internal import NetworkTypes
internal import Synchronization

/// Messages to a thread that waits in an `EventLoop`: a bounded queue and a descriptor that becomes readable.
///
/// It is for control messages (settings, answers of stores), not for media. A full mailbox refuses messages.
public final class Mailbox<Message: Sendable>: Sendable {
  private struct Queue {
    var messages: [Message] = []
    /// The time at which the oldest message was posted.
    var since = Instant(nanoseconds: 0)
    /// Whether the reader has been woken since it took messages last, so that many messages cost one system call.
    var isRung = false
    /// The number of times that the reader has taken messages.
    var takes = 0
  }

  private let queue = Mutex(Queue())
  private let bell: FileDescriptor
  private let capacity: Int

  public init(capacity: Int) throws(Errno) {
    self.capacity = capacity
    bell = FileDescriptor(
      owning: try retrying { eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK)) })
  }

  /// The descriptor that an event loop watches.
  public var rawValue: Int32 { bell.rawValue }

  /// Posts a message; false if the mailbox is full.
  ///
  /// - Parameter limit: this message is refused if more messages than this wait, so that room is left for more
  ///   important ones.
  @discardableResult
  public func post(_ message: sending Message, unlessMoreThan limit: Int = .max) -> Bool {
    let isPosted = enqueue(message, unlessMoreThan: limit)
    if isPosted { wakeReader() }
    return isPosted
  }

  /// Posts a message without waking the reader, for a sender of several messages that calls `wakeReader` after the last.
  @discardableResult
  public func enqueue(_ message: sending Message, unlessMoreThan limit: Int = .max) -> Bool {
    queue.withLock { queue in
      guard queue.messages.count < capacity, queue.messages.count <= limit else { return false }
      if queue.messages.isEmpty { queue.since = .read() }
      queue.messages.append(message)
      return true
    }
  }

  /// Wakes the reader, unless it has been woken since it took messages last.
  public func wakeReader() {
    let (isRung, takes) = queue.withLock { ($0.isRung, $0.takes) }
    guard !isRung else { return }
    ring()
    // Only after the system call: another sender relies on it, and this thread may have a lower priority. Not if the
    // reader has taken messages since: it must be woken for the next one.
    queue.withLock { if $0.takes == takes { $0.isRung = true } }
  }

  /// Wakes the reader, with a system call and without the lock.
  public func ring() {
    var one: UInt64 = 1
    _ = unsafe write(bell.rawValue, &one, 8)
  }

  /// Whether the oldest message has waited for `duration`: its reader is busy or blocked.
  public func hasWaited(for duration: Duration) -> Bool {
    queue.withLock { !$0.messages.isEmpty && Instant.read() >= $0.since.advanced(by: duration) }
  }

  /// Waits for a message, for readers without an event loop. Returns early when a signal is handled.
  ///
  /// - Parameter duration: the longest wait; nil for no limit.
  public func wait(for duration: Duration? = nil) {
    var interest = pollfd(fd: bell.rawValue, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&interest, 1, duration?.milliseconds ?? -1)
  }

  public var isEmpty: Bool { queue.withLock { $0.messages.isEmpty } }

  /// Removes the messages that match; the others stay, without waking the reader again.
  public func removeAll(where matches: (Message) -> Bool) {
    queue.withLock { queue in
      // In the lock: a sender that comes later must wake the reader for a message that stays.
      silence()
      queue.isRung = false
      queue.takes &+= 1
      queue.messages.removeAll(where: matches)
    }
  }

  /// Takes all messages, oldest first.
  public func takeAll() -> [Message] {
    // Before the lock: a sender that comes between has its message taken now, and wakes the reader in vain at worst.
    silence()
    return queue.withLock { queue in
      let messages = queue.messages
      queue.messages = []
      queue.isRung = false
      queue.takes &+= 1
      return messages
    }
  }

  /// Makes the descriptor unreadable.
  private func silence() {
    var count: UInt64 = 0
    _ = unsafe read(bell.rawValue, &count, 8)
  }
}
