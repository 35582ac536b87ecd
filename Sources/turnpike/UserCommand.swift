internal import Configuration
internal import Credentials
internal import Crypto
internal import System

/// `turnpike user add|list|remove|passwd`.
func manageUsers(_ invocation: Invocation) throws(Failure) -> Int32 {
  let verbs = ["add", "list", "remove", "passwd"]
  guard let verb = invocation.operands.first else {
    throw .usage("user needs one of \(verbs.joined(separator: ", "))", hint: "try: turnpike help user")
  }
  switch verb {
  case "add", "passwd":
    let name = try invocation.operands(after: 1, ["NAME"])[0]
    try store(name, isNew: verb == "add", invocation)
  case "remove":
    let name = try invocation.operands(after: 1, ["NAME"])[0]
    try refuse("--password-stdin", in: "user remove", invocation)
    let settings = try invocation.configuration().settings
    let realm = invocation.realm(settings)
    try invocation.withStore(settings, explained: { explain($0, user: name, realm: realm) }) {
      store throws(StoreError) in
      try store.removeUser(realm: realm, username: Array(name.utf8))
    }
    tell("removed the user \(name.debugDescription) from the realm \(realm.debugDescription)")
  case "list":
    _ = try invocation.operands(after: 1, [])
    try refuse("--password-stdin", in: "user list", invocation)
    let settings = try invocation.configuration().settings
    let realm = invocation.arguments["--realm"]
    let users = try invocation.withStore(settings) { store throws(StoreError) in try store.users(realm: realm) }
    try printTable(
      ["NAME", "REALM", "ADDED"], users.map { [$0.name, $0.realm, CivilTime.text(unixSeconds: $0.created)] })
  default:
    throw .usage(
      "user has no command \(verb.debugDescription)",
      hint: nearest(verb, among: verbs) ?? "try: turnpike help user")
  }
  return 0
}

/// Stores a new user, or new keys of an existing one.
private func store(_ name: String, isNew: Bool, _ invocation: Invocation) throws(Failure) {
  let settings = try invocation.configuration().settings
  let realm = invocation.realm(settings)
  let isGiven = invocation.arguments.has("--password-stdin")
  // 131 bits, in letters and digits that can be typed and pasted anywhere.
  let password = isGiven ? try lineOfInput("password") : Array(randomWord(22).utf8)
  let user: UserRecord
  do throws(UserRecord.Invalid) {
    user = try UserRecord(name: name, realm: realm, password: password)
  } catch {
    throw .failed("\(error)")
  }
  try invocation.withStore(settings, explained: { explain($0, user: name, realm: realm) }) { store throws(StoreError) in
    if isNew { try store.addUser(user) } else { try store.setPassword(of: user) }
  }
  // Printed only after it is stored: a printed password is always valid.
  if !isGiven { try print(String(decoding: password, as: UTF8.self)) }
  tell(
    isNew
      ? "added the user \(name.debugDescription) to the realm \(realm.debugDescription)"
      : "changed the password of \(name.debugDescription) in the realm \(realm.debugDescription)")
}

/// The message for a store's refusal of a user, with a remedy.
private func explain(_ error: StoreError, user name: String, realm: String) -> String? {
  switch error {
  case .userExists:
    "the realm \(realm.debugDescription) has a user \(name.debugDescription) already (or one that clients cannot tell from it); "
      + "to change the password: turnpike user passwd \(name)"
  case .noSuchUser:
    "the realm \(realm.debugDescription) has no user \(name.debugDescription); see: turnpike user list"
  case .unavailable, .newerFormat, .foreign, .secretExists, .noSuchSecret: nil
  }
}

/// Refuses an option that belongs to another subcommand, such as `list`.
func refuse(_ option: String, in command: String, _ invocation: Invocation) throws(Failure) {
  guard invocation.arguments.has(option) else { return }
  throw .usage(
    "\(command) has no option \(option)", hint: "try: turnpike help \(invocation.command.rawValue)")
}

/// Random letters and digits: Base64 without its two punctuation characters, almost six bits each.
func randomWord(_ length: Int) -> String {
  var word = ""
  while word.utf8.count < length {
    let letters = Base64.encode(SecureRandom.bytes(3 * length)).utf8.filter { byte in
      byte != UInt8(ascii: "+") && byte != UInt8(ascii: "/") && byte != UInt8(ascii: "=")
    }
    word += String(decoding: letters.prefix(length - word.utf8.count), as: UTF8.self)
  }
  return word
}
