internal import CommandLine
internal import JSON

/// `turnpike status`: the state of the running server.
func showStatus(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  guard let status = try AdminClient(invocation).ask("GET", "/api/v1/status") else { return 1 }
  if invocation.arguments.has("--json") {
    try print(status.encode(pretty: true))
    return 0
  }
  for row in statusRows(status) { try print(row.0.padded(to: 14) + printable(row.1)) }
  return 0
}

private func statusRows(_ status: JSONValue) -> [(String, String)] {
  func text(_ name: String) -> String { status[name]?.string ?? "-" }
  func list(_ value: JSONValue?) -> String { (value?.array ?? []).compactMap(\.string).joined(separator: " ") }
  let shards = status["shards"]?.array ?? []
  var rows = [
    ("state", text("state")), ("version", text("version")),
    ("started", "\(text("started")), \(duration(status["seconds"]?.integer ?? 0)) ago"),
    ("engine", "\(text("engine")), \(shards.count) shards"),
    ("allocations", "\(status["allocations"]?.integer ?? 0)"),
    ("connections", "\(shards.reduce(0) { $0 + ($1["connections"]?.integer ?? 0) })"),
    ("to peers", traffic(status["to-peers"])), ("to clients", traffic(status["to-clients"])),
    ("listeners", list(status["listeners"])),
    ("relay", "\(list(status["relay-addresses"])) ports \(text("relay-ports"))"),
  ]
  if let expires = status["certificate"]?["expires"]?.string {
    rows.append(("certificate", "expires \(expires), for \(list(status["certificate"]?["names"]))"))
  }
  for store in status["stores"]?.array ?? [] {
    let isOpen = store["is-open"] == .bool(true)
    rows.append(("store", "\(isOpen ? "open" : "NOT OPEN"), realms \(list(store["realms"]))"))
  }
  return rows
}

/// `turnpike sessions`: the live allocations.
func listSessions(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  let client = try AdminClient(invocation)
  let filter = ["user", "client", "transport"].compactMap { name in
    invocation.arguments["--\(name)"].map { "&\(name)=\(percentEncoded($0))" }
  }.joined()
  var sessions: [JSONValue] = []
  var next: String?
  repeat {
    let page = try client.ask("GET", "/api/v1/sessions?limit=500\(filter)" + (next.map { "&after=\($0)" } ?? ""))
    sessions += page?["sessions"]?.array ?? []
    next = page?["next"]?.string
  } while next != nil && sessions.count < longestList
  if next != nil { tell("the list ends after \(sessions.count) sessions") }
  if invocation.arguments.has("--json") {
    try print(JSONValue.object([.init("sessions", .array(sessions))]).encode(pretty: true))
    return 0
  }
  try printTable(
    ["ID", "USER", "REALM", "CLIENT", "VIA", "RELAYED", "AGE", "TO PEERS", "TO CLIENT", "LOSS", "RTT"],
    sessions.map { session in
      ["id", "user", "realm", "client", "transport", "relayed"].map { printable(session[$0]?.string ?? "-") }
        + [
          duration(session["seconds"]?.integer ?? 0), bytes(session["to-peers"]), bytes(session["to-client"]),
          "\(loss(session["quality"]?["from-client"])) \(loss(session["quality"]?["from-peers"]))",
          roundTrip(session["quality"]),
        ]
    })
  return 0
}

/// The lost part of a side's RTP packets, in percent.
private func loss(_ media: JSONValue?) -> String {
  guard let packets = media?["packets"]?.integer, let lost = media?["lost"]?.integer, packets > 0, lost >= 0 else {
    return "-"
  }
  let tenths = (Double(lost) / (Double(packets) + Double(lost)) * 1000).rounded()
  return "\(tenths / 10)%"
}

/// The upper limit of the client's round trip.
private func roundTrip(_ quality: JSONValue?) -> String {
  guard let microseconds = quality?["round-trip-us"]?.integer else { return "-" }
  return microseconds < 1000 ? "<1 ms" : "<\(microseconds / 1000 + 1) ms"
}

/// Limit of sessions that a list shows.
private let longestList = 1_000_000

/// `turnpike kick ID`: ends an allocation.
func endSession(_ invocation: Invocation) throws(Failure) -> Int32 {
  let id = try invocation.operands("ID")[0]
  _ = try AdminClient(invocation).ask("DELETE", "/api/v1/sessions/\(percentEncoded(id))")
  return try report("ended the session \(id)", ["session": .string(id), "state": "ended"], invocation)
}

/// `turnpike drain`: the server refuses new allocations and ends with the last one.
func drainServer(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  _ = try AdminClient(invocation).ask("POST", "/api/v1/drain")
  return try report(
    "the server refuses new allocations, and ends with the last one or after drain-timeout",
    ["state": "draining"], invocation)
}

/// `turnpike reload`: the server reads configuration and certificates again.
func reloadServer(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  _ = try AdminClient(invocation).ask("POST", "/api/v1/reload")
  return try report("the server has read its configuration again", ["state": "reloaded"], invocation)
}

/// Reports a completed command: a line on standard error, or a JSON document on standard output.
private func report(_ words: String, _ document: JSONValue, _ invocation: Invocation) throws(Failure) -> Int32 {
  guard invocation.arguments.has("--json") else {
    tell(words)
    return 0
  }
  try print(document.encode(pretty: true))
  return 0
}

/// `turnpike upgrade`: the server starts its program once more and hands everything over to it.
func upgradeServer(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  let answer = try AdminClient(invocation).ask("POST", "/api/v1/upgrade", timeout: .seconds(60)) ?? .object([])
  if invocation.arguments.has("--json") {
    try print(answer.encode(pretty: true))
    return 0
  }
  func number(_ name: String) -> Int64 { answer[name]?.integer ?? 0 }
  tell(
    "process \(number("process")) has taken over \(number("allocations")) allocations and "
      + "\(number("connections")) TCP connections within \(number("gap-us") / 1000) ms; "
      + "\(number("kept")) allocations over TLS and DTLS stay with the older process until they end")
  return 0
}

// MARK: - Words for people

/// The two largest units: `2h 5m`.
func duration(_ seconds: Int64) -> String {
  let parts = [
    (seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"),
  ].drop { $0.0 == 0 }
  return parts.isEmpty ? "0s" : parts.prefix(2).map { "\($0.0)\($0.1)" }.joined(separator: " ")
}

private func traffic(_ count: JSONValue?) -> String { "\(bytes(count)) in \(count?["packets"]?.integer ?? 0) packets" }

private func bytes(_ count: JSONValue?) -> String { amount(count?["bytes"]?.integer ?? 0) }

/// Bytes in decimal units, rounded down: `1.5 MB`.
func amount(_ bytes: Int64) -> String {
  var value = bytes
  var unit = 0
  var tenths: Int64 = 0
  let units = ["B", "kB", "MB", "GB", "TB", "PB"]
  while value >= 1000, unit < units.count - 1 {
    tenths = value % 1000 / 100
    value /= 1000
    unit += 1
  }
  return unit == 0 ? "\(value) B" : "\(value).\(tenths) \(units[unit])"
}

/// A text for a part of a URL (RFC 3986 section 2.1).
func percentEncoded(_ text: String) -> String {
  var result = ""
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
      result.unicodeScalars.append(Unicode.Scalar(byte))
    default:
      let digits = String(byte, radix: 16, uppercase: true)
      result += "%" + (digits.count == 1 ? "0" : "") + digits
    }
  }
  return result
}
