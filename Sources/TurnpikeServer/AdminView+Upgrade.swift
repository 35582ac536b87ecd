internal import Admin
internal import JSON
internal import NetworkTypes
internal import System

extension AdminView {
  func upgrade() throws(AdminFailure) -> JSONValue {
    let number = nextNumber()
    guard orders.post(.upgrade(number: number, upgrades)) else { throw .unavailable("the main thread is too busy") }
    let deadline = Instant.read().advanced(by: Upgrade.timeout + Upgrade.gapTimeout)
    while Instant.read() < deadline {
      upgrades.wait(for: deadline.duration(since: .read()))
      guard let answer = upgrades.takeAll().first(where: { $0.number == number }) else { continue }
      switch answer.outcome {
      case .failed(let reason): throw .conflict("this process goes on: \(reason)")
      case .done(let report): return report.json
      }
    }
    throw .unavailable("the new process has not come up yet; the log has the outcome")
  }
}

extension UpgradeReport {
  var json: JSONValue {
    [
      "process": .integer(Int64(process)), "allocations": .integer(Int64(counts.allocations)),
      "relays": .integer(Int64(counts.relays)), "connections": .integer(Int64(counts.connections)),
      "kept": .integer(Int64(counts.kept)), "gap-us": .integer(Int64(clamping: gap.wholeNanoseconds / 1000)),
    ]
  }
}
