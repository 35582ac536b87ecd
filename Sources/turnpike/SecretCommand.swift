internal import Configuration
internal import Credentials
internal import NetworkTypes
internal import System

/// `turnpike secret add|list|remove`.
func manageSecrets(_ invocation: Invocation) throws(Failure) -> Int32 {
  let verbs = ["add", "list", "remove"]
  guard let verb = invocation.operands.first else {
    throw .usage("secret needs one of \(verbs.joined(separator: ", "))", hint: "try: turnpike help secret")
  }
  switch verb {
  case "add":
    _ = try invocation.operands(after: 1, [])
    try addSecret(invocation)
  case "list":
    _ = try invocation.operands(after: 1, [])
    try refuse("--secret-stdin", in: "secret list", invocation)
    let settings = try invocation.configuration().settings
    let realm = invocation.arguments["--realm"]
    let secrets = try invocation.withStore(settings) { store throws(StoreError) in
      try store.listSecrets(realm: realm)
    }
    try printTable(
      ["ID", "REALM", "ADDED"], secrets.map { ["\($0.id)", $0.realm, CivilTime.text(unixSeconds: $0.created)] })
  case "remove":
    let operand = try invocation.operands(after: 1, ["ID"])[0]
    try refuse("--secret-stdin", in: "secret remove", invocation)
    guard let id = UInt64(decimalDigits: operand) else {
      throw .usage("\(operand.debugDescription) is not an id", hint: "see the first column of: turnpike secret list")
    }
    let settings = try invocation.configuration().settings
    let realm = invocation.realm(settings)
    try invocation.withStore(settings, explained: { explain($0, secret: id, realm: realm) }) {
      store throws(StoreError) in
      try store.removeSecret(realm: realm, id: id)
    }
    tell("removed the secret \(id) from the realm \(realm.debugDescription)")
  default:
    throw .usage(
      "secret has no command \(verb.debugDescription)",
      hint: nearest(verb, among: verbs) ?? "try: turnpike help secret")
  }
  return 0
}

/// The message for a store's refusal of a secret, with a remedy.
private func explain(_ error: StoreError, secret id: UInt64?, realm: String) -> String? {
  switch error {
  case .secretExists: "the realm \(realm.debugDescription) has this secret already; see: turnpike secret list"
  case .noSuchSecret:
    "the realm \(realm.debugDescription) has no secret\(id.map { " \($0)" } ?? ""); see: turnpike secret list"
  case .unavailable, .newerFormat, .foreign, .userExists, .noSuchUser: nil
  }
}

private func addSecret(_ invocation: Invocation) throws(Failure) {
  let settings = try invocation.configuration().settings
  let realm = invocation.realm(settings)
  let isGiven = invocation.arguments.has("--secret-stdin")
  // 256 bits: more than the 160 bits of HMAC-SHA1.
  let secret = isGiven ? try lineOfInput("secret") : Array(randomWord(43).utf8)
  guard secret.count <= 1024 else { throw .failed("the secret has more than 1024 bytes") }
  let stored = try invocation.withStore(settings, explained: { explain($0, secret: nil, realm: realm) }) {
    store throws(StoreError) in
    try store.addSecret(secret, realm: realm)
  }
  if !isGiven { try print(String(decoding: secret, as: UTF8.self)) }
  tell("added the secret \(stored.id) to the realm \(realm.debugDescription)")
}
