internal import Configuration
internal import Credentials
internal import NetworkTypes
internal import System

private enum Verb: String, CaseIterable {
  case add, list, remove, passwd
}

/// `turnpike user add|list|remove|passwd`.
func manageUsers(_ invocation: Invocation) throws(Failure) -> Int32 {
  let verb = try invocation.subcommand(Verb.self)
  switch verb {
  case .add, .passwd:
    let name = try invocation.operands(after: 1, ["NAME"])[0]
    try refuseClosing(in: "user \(verb)", invocation)
    try store(name, isNew: verb == .add, invocation)
  case .remove:
    let name = try invocation.operands(after: 1, ["NAME"])[0]
    try refuse("--password-stdin", in: "user remove", invocation)
    try removeUser(name, invocation)
  case .list:
    _ = try invocation.operands(after: 1, [])
    try refuse("--password-stdin", in: "user list", invocation)
    try refuseClosing(in: "user list", invocation)
    let settings = try invocation.configuration().settings
    let realm = invocation.arguments["--realm"]
    let users = try invocation.withStore(settings) { store throws(StoreError) in try store.users(realm: realm) }
    try printTable(
      ["NAME", "REALM", "ADDED"], users.map { [$0.name, $0.realm, CivilTime.text($0.created)] })
  }
  return 0
}

private func removeUser(_ name: String, _ invocation: Invocation) throws(Failure) {
  let settings = try invocation.configuration().settings
  let realm = invocation.realm(settings)
  let server = try serverThatCloses(invocation)
  try invocation.withStore(settings, explained: { $0.explained(user: name, realm: realm) }) {
    store throws(StoreError) in
    try store.removeUser(realm: realm, username: Array(name.utf8))
  }
  tell("removed the user \(name.debugDescription) from the realm \(realm.debugDescription)")
  try server?.closeSessions("user=\(percentEncoded(name))&realm=\(percentEncoded(realm))")
}

/// Stores a new user, or new keys of an existing one.
private func store(_ name: String, isNew: Bool, _ invocation: Invocation) throws(Failure) {
  let settings = try invocation.configuration().settings
  let realm = invocation.realm(settings)
  let password = invocation.arguments.has("--password-stdin") ? try lineOfInput("password") : nil
  let user: NewUser
  do throws(UserRecord.Invalid) {
    user = try NewUser(name: name, realm: realm, password: password)
  } catch {
    throw .failed("\(error)")
  }
  try invocation.withStore(settings, explained: { $0.explained(user: name, realm: realm) }) {
    store throws(StoreError) in
    if isNew { try store.addUser(user.record) } else { try store.setPassword(of: user.record) }
  }
  // The password is printed only after it is stored, so that a printed password is always valid.
  if let made = user.madePassword { try print(made) }
  tell(
    isNew
      ? "added the user \(name.debugDescription) to the realm \(realm.debugDescription)"
      : "changed the password of \(name.debugDescription) in the realm \(realm.debugDescription)")
}

/// Refuses an option that belongs to another subcommand, such as `list`.
func refuse(_ option: String, in command: String, _ invocation: Invocation) throws(Failure) {
  guard invocation.arguments.has(option) else { return }
  throw .usage(
    "\(command) has no option \(option)", hint: "try: turnpike help \(invocation.command.rawValue)")
}
