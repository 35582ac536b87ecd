internal import Crypto
internal import NetworkTypes
internal import STUN
internal import Tables

/// Copies of one user's messages, for an operator. Without a capture each message costs the check of one flag.
extension Relay {
  /// Begins a capture: from now on the user's messages are `captured` commands. Nil ends the capture.
  public mutating func capture(_ filter: CaptureFilter?) { captureState = filter.map { CaptureState($0) } }

  @inline(__always)
  var isCapturing: Bool { captureState != nil }

  /// Receives a STUN message while a capture runs.
  mutating func receiveCaptured(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    let isWanted = isOfCapturedUser(bytes, from: client)
    if isWanted { captureMessage(bytes, of: client, isFromClient: true) }
    let disposition = receiveMessage(bytes, from: client, now: now)
    if isWanted, case .reply = disposition { captureWritten(to: client) }
    return disposition
  }

  /// Captures the message that has just been written to a client of the user: a late answer, or an indication.
  mutating func captureIfWanted(to client: ClientPath) {
    if isOfCapturedUser(client) { captureWritten(to: client) }
  }

  private mutating func captureWritten(to client: ClientPath) {
    guard let filter = captureState?.filter, let copy = Redaction.copy(of: writer.bytes, names: filter.names) else {
      return
    }
    commands.append(.captured(CapturedMessage(client: client, isFromClient: false, bytes: copy)))
  }

  private mutating func captureMessage(_ bytes: RawSpan, of client: ClientPath, isFromClient: Bool) {
    guard let filter = captureState?.filter, let copy = Redaction.copy(of: bytes, names: filter.names) else { return }
    commands.append(.captured(CapturedMessage(client: client, isFromClient: isFromClient, bytes: copy)))
  }

  /// Whether a message names the user; if it names none, whether its client is the user's.
  private mutating func isOfCapturedUser(_ bytes: RawSpan, from client: ClientPath) -> Bool {
    guard let filter = captureState?.filter, let message = try? MessageView(bytes) else {
      return isOfCapturedUser(client)
    }
    if let name = message.value(of: .username) {
      guard name.byteCount <= 763, filter.matches(name.copied()) else { return false }
    } else if let hash = message.value(of: .userHash) {
      let own = LongTermKey.userHash(username: filter.user, realm: realms[client.realm].settings.name)
      guard own.bytes.isEqual(to: hash) || isOfCapturedUser(client) else { return false }
    } else {
      return isOfCapturedUser(client)
    }
    captureState?.remember(client)
    return true
  }

  private func isOfCapturedUser(_ client: ClientPath) -> Bool {
    guard let state = captureState else { return false }
    if let slot = allocations.find(client) { return state.filter.matches(allocations[slot].details.username) }
    return state.knows(client)
  }
}
