internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// The state that this process takes over from an older one.
struct Succession {
  var connection: HandoverConnection
  var offer: HandoverOffer
  var bans = BanBook()
  var capture: CaptureBuffer?
  var counts = HandoverCounts()
  /// Allocations whose realm, listener or relay address the configuration does not have.
  var closed = 0
  /// The older shards' ends of the connections for datagrams.
  var forwards: [Int32] = []
  /// Whether the older process may still have clients.
  var isOpen = true
}

/// The newer process's side of an upgrade.
extension Server {
  /// Reads the older process's offer, if there is one: the settings and keys that stay the same.
  func beginSuccession() throws(StartFailure) {
    guard let connection = predecessor else { return }
    let offer = try readOffer(connection)
    guard Int(offer.workers) == shardCount else {
      throw .misconfigured(
        "an upgrade keeps the number of shards, \(offer.workers), but `workers` is \(shardCount): "
          + "set workers: \(offer.workers), or restart the server")
    }
    state.sharedKey = offer.sharedKey
    state.cookieKey = offer.cookieKey
    state.seeds = offer.seeds
    state.relayed = state.relayed.remembering(offer.advertised, since: offer.formerSince, now: .read())
    state.upgrades = offer.upgrades
    // Links of rooms and credentials of the page stay valid.
    if demoSecret != nil, offer.demoSecret.count == 32, offer.roomSecret.count == 32 {
      demoSecret = offer.demoSecret
      roomSecret = offer.roomSecret
    }
    succession = Succession(connection: connection, offer: offer)
  }

  private func readOffer(_ connection: HandoverConnection) throws(StartFailure) -> HandoverOffer {
    var offer = HandoverOffer()
    do throws(HandoverConnection.Failure) {
      let message = try connection.receive(.offer, within: .seconds(10))
      var coder = RecordCoder(reading: message.bytes)
      do throws(RecordError) {
        _ = try coder.next()
        try offer.code(with: &coder)
      } catch {
        throw HandoverConnection.Failure(reason: "\(error)")
      }
      return offer
    } catch {
      throw .failed("cannot take over from the running server: \(error.reason)")
    }
  }

  /// Receives the older process's records, after everything else has been made; nil without an older process.
  func receiveInheritance() throws(StartFailure) -> [ShardInheritance]? {
    guard let succession else { return nil }
    do throws(HandoverConnection.Failure) {
      try succession.connection.send(.prepared)
      let state = try succession.connection.receiveState(shards: shardCount)
      do throws(RecordError) {
        try self.state.relayed.restore(state.server, ordinals: succession.offer.relayOrdinals(self.state.relayed))
        try self.succession?.bans.restore(state.server)
        self.succession?.capture = try CaptureRecord.read(state.server)
      } catch {
        throw HandoverConnection.Failure(reason: "the records of ports and bans cannot be read: \(error)")
      }
      self.succession?.counts.kept = state.kept
      return state.packages.map {
        var inheritance = ShardInheritance(package: $0, offer: succession.offer)
        if let ends = try? MessageSocket.pair(), shardCount <= MessageSocket.descriptorLimit {
          inheritance.forward = ends.first
          self.succession?.forwards.append(ends.second)
        }
        return inheritance
      }
    } catch {
      throw .failed("cannot take over from the running server: \(error.reason)")
    }
  }

  /// Tells the older process that all shards have their sockets, and begins to serve when it has answered.
  func finishSuccession() throws(StartFailure) {
    guard let succession else { return }
    do throws(HandoverConnection.Failure) {
      try succession.connection.send(.ready, [], succession.forwards)
      for descriptor in succession.forwards { _ = FileDescriptor(owning: descriptor) }
      let go = try succession.connection.receive(.go, within: .seconds(10))
      state.upgrades.add(succession.counts)
      for shard in shards {
        shard.post(.bans(succession.bans.list))
        shard.post(.handOver(.begin))
      }
      if go.bytes.first == 1 { supervisor = succession.connection }
      if let descriptor = go.descriptors.first {
        supervisor = HandoverConnection(MessageSocket(owning: FileDescriptor(owning: descriptor)))
      }
      do throws(Errno) {
        try loop.add(succession.connection.rawValue, EventToken(kind: Self.upgradeEvent))
        if let supervisor, supervisor !== succession.connection {
          try loop.add(supervisor.rawValue, EventToken(kind: Self.upgradeEvent))
        }
      } catch {
        log.error("upgrade-failed", ("error", "\(error)"), ("effect", "signals are not passed on"))
      }
    } catch {
      throw .failed("cannot take over from the running server: \(error.reason)")
    }
    log.info(
      "took-over", ("allocations", .number(succession.counts.allocations)),
      ("connections", .number(succession.counts.connections)), ("closed", .number(succession.closed)),
      ("from-version", .text(String(decoding: succession.offer.program, as: UTF8.self))))
  }

  /// Reads the messages of the older process and of the supervisor, which waits for this process's end; returns the
  /// signals that the supervisor has received. Nil: the supervisor was killed, and this process must end too.
  func takePredecessorMessages() -> [Signal]? {
    var signals: [Signal] = []
    if let supervisor {
      do throws(HandoverConnection.Failure) {
        while let message = try supervisor.receiveNow() {
          if message.kind == .drained { endSuccession() }
          if message.kind == .signal, let signal = message.bytes.first.flatMap({ Signal(number: $0) }) {
            signals.append(signal)
          }
        }
      } catch {
        self.supervisor = nil
        log.error("supervisor-lost", ("effect", "the server stops: the process that waited for its end was killed"))
        return nil
      }
    }
    if let succession, succession.isOpen, succession.connection !== supervisor {
      do throws(HandoverConnection.Failure) {
        while try succession.connection.receiveNow() != nil {}
      } catch {
        endSuccession()
      }
    }
    return signals
  }

  /// Stops reading from the older processes after an upgrade: their messages are for the newer process.
  func endSupervision() {
    for connection in [supervisor, succession?.connection].compactMap(\.self) { loop.remove(connection.rawValue) }
    supervisor = nil
    succession?.isOpen = false
  }

  /// Ends the succession, because the older process has no clients left.
  private func endSuccession() {
    guard let succession, succession.isOpen else { return }
    self.succession?.isOpen = false
    if succession.connection !== supervisor { loop.remove(succession.connection.rawValue) }
    state.relayed.releaseForeign()
    log.info("predecessor-ended")
  }
}
