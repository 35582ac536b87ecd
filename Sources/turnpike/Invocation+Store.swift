internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import NetIO

extension Invocation {
  /// Opens the configured store and gives it to `body`; what the store refuses becomes a failure.
  func withStore<Result>(
    _ settings: Settings, _ body: (any CredentialStore) throws(StoreError) -> Result
  ) throws(Failure) -> Result {
    let path = try storePath(settings, realm: realm(settings, warns: false))
    do throws(StoreError) {
      return try body(try SQLiteCredentialStore(path: path))
    } catch {
      throw .failed("\(error)")
    }
  }

  /// `--realm`, else the configured realm.
  func realm(_ settings: Settings, warns: Bool = true) -> String {
    guard let realm = arguments[.realm] else { return settings.realm }
    if warns, realm != settings.realm, settings.realms[realm] == nil {
      tell("warning: the realm \(realm.debugDescription) is not in the configuration")
    }
    return realm
  }

  /// The store that the server asks about a realm's users; of a realm that is not configured, the default one.
  private func storePath(_ settings: Settings, realm: String) throws(Failure) -> String {
    let scheme = "sqlite:"
    let store = settings.realms[realm]?.store ?? settings.auth.store
    guard store.hasPrefix(scheme) else {
      let key = settings.realms[realm] == nil ? "auth.store" : "realms.\(realm).store"
      throw .failed("no credential store is configured: set \(key), for example to sqlite:turnpike.db")
    }
    let path = String(store.dropFirst(scheme.count))
    if path.hasPrefix("/") { return path }
    let directory = StateDirectory.resolve(
      configured: settings.stateDirectory, environment: Environment.variables())
    guard let directory else {
      let wish = settings.stateDirectory.isEmpty ? StateDirectory.standard : settings.stateDirectory
      throw .failed("no state directory can be written (\(wish)): run this as the server's user, or set state-directory")
    }
    return directory + "/" + path
  }
}

/// One line of standard input: what a person or a script hands over, without its newline.
func lineOfInput(_ what: String) throws(Failure) -> [UInt8] {
  if StandardStreams.isInputTerminal { tell("type the \(what), then Return and Ctrl-D") }
  var bytes: [UInt8]
  do throws(FileError) {
    bytes = try StandardStreams.readInput(limit: 4096)
  } catch {
    throw .failed("standard input: \(error)")
  }
  if bytes.last == UInt8(ascii: "\n") {
    bytes.removeLast()
    if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
  }
  guard !bytes.isEmpty else { throw .failed("standard input has no \(what)") }
  guard !bytes.contains(where: { $0 == UInt8(ascii: "\n") }) else {
    throw .failed("standard input has more than one line")
  }
  return bytes
}

/// Seconds since 1970 as `2026-01-31T12:00:00Z`.
func timestamp(_ seconds: UInt64) -> String {
  var days = seconds / 86400
  var year: UInt64 = 1970
  func isLeap(_ year: UInt64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }
  while year < 9999, days >= (isLeap(year) ? 366 : 365) {
    days -= isLeap(year) ? 366 : 365
    year += 1
  }
  var month = 1
  for length in [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30] as [UInt64] where days >= length {
    days -= length
    month += 1
  }
  func two(_ number: some BinaryInteger) -> String { (number < 10 ? "0" : "") + String(number) }
  let clock = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map { two($0) }.joined(separator: ":")
  return "\(year)-\(two(month))-\(two(days + 1))T\(clock)Z"
}
