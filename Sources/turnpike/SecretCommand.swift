internal import Configuration
internal import Credentials
internal import NetworkTypes
internal import System

private enum Verb: String, CaseIterable {
  case add, list, remove
}

/// `turnpike secret add|list|remove`.
func manageSecrets(_ invocation: Invocation) throws(Failure) -> Int32 {
  switch try invocation.subcommand(Verb.self) {
  case .add:
    _ = try invocation.operands(after: 1, [])
    try refuseClosing(in: "secret add", invocation)
    try addSecret(invocation)
  case .list:
    _ = try invocation.operands(after: 1, [])
    try refuse("--secret-stdin", in: "secret list", invocation)
    try refuseClosing(in: "secret list", invocation)
    let settings = try invocation.configuration().settings
    let realm = invocation.arguments["--realm"]
    let secrets = try invocation.withStore(settings) { store throws(StoreError) in
      try store.listSecrets(realm: realm)
    }
    try printTable(
      ["ID", "REALM", "ADDED"], secrets.map { ["\($0.id)", $0.realm, CivilTime.text($0.created)] })
  case .remove:
    let operand = try invocation.operands(after: 1, ["ID"])[0]
    try refuse("--secret-stdin", in: "secret remove", invocation)
    guard let id = UInt64(decimalDigits: operand) else {
      throw .usage("\(operand.debugDescription) is not an id", hint: "see the first column of: turnpike secret list")
    }
    try removeSecret(id, invocation)
  }
  return 0
}

private func removeSecret(_ id: UInt64, _ invocation: Invocation) throws(Failure) {
  let settings = try invocation.configuration().settings
  let realm = invocation.realm(settings)
  let server = try serverThatCloses(invocation)
  try invocation.withStore(settings, explained: { $0.explained(secret: id, realm: realm) }) {
    store throws(StoreError) in
    try store.removeSecret(realm: realm, id: id)
  }
  tell("removed the secret \(id) from the realm \(realm.debugDescription)")
  try server?.closeSessions("revoked=true&realm=\(percentEncoded(realm))")
}

private func addSecret(_ invocation: Invocation) throws(Failure) {
  let settings = try invocation.configuration().settings
  let realm = invocation.realm(settings)
  let given = invocation.arguments.has("--secret-stdin") ? try lineOfInput("secret") : nil
  let secret: NewSecret
  do throws(NewSecret.Invalid) { secret = try NewSecret(given) } catch { throw .failed("\(error)") }
  let stored = try invocation.withStore(settings, explained: { $0.explained(secret: nil, realm: realm) }) {
    store throws(StoreError) in
    try store.addSecret(secret.bytes, realm: realm)
  }
  if let made = secret.made { try print(made) }
  tell("added the secret \(stored.id) to the realm \(realm.debugDescription)")
}
