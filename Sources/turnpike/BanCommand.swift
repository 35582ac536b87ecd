internal import JSON
internal import NetworkTypes

private enum Verb: String, CaseIterable {
  case add, list, remove
}

/// `turnpike ban add|list|remove`: client addresses that the running server ignores.
func manageBans(_ invocation: Invocation) throws(Failure) -> Int32 {
  switch try invocation.subcommand(Verb.self) {
  case .add:
    let address = try invocation.operands(after: 1, ["ADDRESS"])[0]
    try refuse("--json", in: "ban add", invocation)
    try addBan(address, invocation)
  case .list:
    _ = try invocation.operands(after: 1, [])
    for option in ["--ttl", "--reason", "--close"] { try refuse(option, in: "ban list", invocation) }
    try listBans(invocation)
  case .remove:
    let address = try invocation.operands(after: 1, ["ADDRESS"])[0]
    for option in ["--ttl", "--reason", "--close", "--json"] { try refuse(option, in: "ban remove", invocation) }
    _ = try AdminClient(invocation).ask("DELETE", "/api/v1/bans?address=\(percentEncoded(address))")
    tell("removed the ban of \(address)")
  }
  return 0
}

private func addBan(_ address: String, _ invocation: Invocation) throws(Failure) {
  let closes = invocation.arguments.has("--close")
  var body: [JSONValue.Member] = [.init("address", .string(address)), .init("close", .bool(closes))]
  if let text = invocation.arguments["--ttl"] {
    guard let seconds = UInt32(decimalDigits: text), seconds > 0 else {
      throw .usage("--ttl \(text.debugDescription) is no number of seconds", hint: "write --ttl 3600 for an hour")
    }
    body.append(.init("ttl", .integer(Int64(seconds))))
  }
  if let reason = invocation.arguments["--reason"] { body.append(.init("reason", .string(reason))) }
  let answer = try AdminClient(invocation).ask("POST", "/api/v1/bans", body: .object(body))
  tell("banned \(printable(answer?["address"]?.string ?? address))")
  if closes { tellClosed(answer) }
}

private func listBans(_ invocation: Invocation) throws(Failure) {
  let answer = try AdminClient(invocation).ask("GET", "/api/v1/bans")
  if invocation.arguments.has("--json") {
    try print((answer ?? [:]).encode(pretty: true))
    return
  }
  try printTable(
    ["ADDRESS", "ADDED", "EXPIRES IN", "REASON"],
    (answer?["bans"]?.array ?? []).map { ban in
      [
        printable(ban["address"]?.string ?? "-"), printable(ban["added"]?.string ?? "-"),
        ban["expires-in"]?.integer.map(duration) ?? "-", printable(ban["reason"]?.string ?? ""),
      ]
    })
}
