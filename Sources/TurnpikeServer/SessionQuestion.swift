internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// A question of another thread about a shard's allocations.
struct SessionQuestion: Sendable {
  enum Request: Sendable {
    /// Live allocations from a slot on, at most `limit`.
    case list(from: UInt32, SessionFilter, limit: Int)
    case show(Handle<Allocation>)
    case end(Handle<Allocation>)
    /// Ends the selected allocations from a slot on.
    case endSelected(SessionSelection, from: UInt32)
  }

  struct Answer: Sendable {
    enum Kind: Sendable {
      /// The rows, and the slot for the next question; nil at the end.
      case rows([SessionSummary], next: UInt32?)
      case ended(Bool)
      /// The number of ended allocations, and the slot for the next question; nil at the end.
      case endedSelected(Int, next: UInt32?)
    }

    /// The question's number.
    var number: UInt64
    var kind: Kind
  }

  var number: UInt64
  var request: Request
  var answers: Mailbox<Answer>

  func answer(_ kind: Answer.Kind) { answers.post(Answer(number: number, kind: kind)) }
}

/// Selects the allocations of a list.
struct SessionFilter: Sendable {
  /// The name as the client sent it; for a time-limited name also the part after the colon.
  var user: [UInt8]?
  var client: IPAddress?
  var transport: TransportProtocol?

  func matches(_ allocation: AllocationSummary) -> Bool {
    if let client, client != allocation.client.address { return false }
    if let transport, transport != allocation.transport { return false }
    guard let user else { return true }
    let name = allocation.username
    if name == user { return true }
    return name.firstIndex(of: UInt8(ascii: ":")).map { Array(name[($0 + 1)...]) == user } ?? false
  }
}
