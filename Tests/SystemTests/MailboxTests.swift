internal import Foundation
internal import Testing

@testable internal import System

@Suite("Mailboxes between threads")
struct MailboxTests {
  private let mailbox: Mailbox<Int>

  init() throws { mailbox = try Mailbox(capacity: 3) }

  /// The number of times that the reader has been woken since this was asked last: the eventfd's counter.
  private var rings: UInt64 {
    let handle = FileHandle(fileDescriptor: mailbox.rawValue, closeOnDealloc: false)
    guard let bytes = try? handle.read(upToCount: 8), bytes.count == 8 else { return 0 }
    return bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
  }

  @Test("Many messages wake the reader once, and the next one after takeAll wakes it again")
  func posted() {
    #expect(mailbox.post(1) && mailbox.post(2) && mailbox.post(3))
    #expect(!mailbox.post(4))
    #expect(rings == 1)
    #expect(mailbox.takeAll() == [1, 2, 3] && mailbox.isEmpty)
    #expect(mailbox.post(5))
    #expect(rings == 1)
    #expect(mailbox.takeAll() == [5])
    #expect(rings == 0)
  }

  @Test("takeAll makes the descriptor unreadable")
  func silent() {
    mailbox.post(1)
    _ = mailbox.takeAll()
    #expect(rings == 0)
  }

  @Test("Enqueued messages wake the reader only with wakeReader")
  func enqueued() {
    #expect(mailbox.enqueue(1) && mailbox.enqueue(2))
    #expect(rings == 0)
    mailbox.wakeReader()
    mailbox.wakeReader()
    #expect(rings == 1)
    #expect(mailbox.takeAll() == [1, 2])
  }

  @Test("Messages that stay after removeAll do not keep a later one from waking the reader")
  func removed() {
    mailbox.post(1)
    mailbox.post(2)
    mailbox.removeAll { $0 == 1 }
    #expect(rings == 0)
    mailbox.post(3)
    #expect(rings == 1)
    #expect(mailbox.takeAll() == [2, 3])
  }
}
