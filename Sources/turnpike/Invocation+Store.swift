internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import NetworkTypes
internal import StringPreparation
internal import System
internal import TurnpikeServer

extension Invocation {
  /// Opens the configured store and gives it to `body`; an error of the store becomes a failure.
  ///
  /// - Parameters:
  ///   - realm: the realm whose store is opened; nil: the command's realm.
  ///   - explained: the command's message for an error, with name and remedy; nil: the store's own message.
  func withStore<Result>(
    _ settings: Settings, realm: String? = nil, explained: ((StoreError) -> String?)? = nil,
    _ body: (any CredentialStore) throws(StoreError) -> Result
  ) throws(Failure) -> Result {
    let path = try storePath(settings, realm: realm ?? self.realm(settings, warns: false))
    do throws(StoreError) {
      return try body(try SQLiteCredentialStore(path: path))
    } catch {
      throw .failed(explained?(error) ?? "\(error)" + ("\(error)".contains(path) ? "" : " (\(path))"))
    }
  }

  /// `--realm`, else the configured realm.
  func realm(_ settings: Settings, warns: Bool = true) -> String {
    guard let realm = arguments["--realm"] else { return settings.realm }
    if warns, realm != settings.realm, settings.realms[realm] == nil {
      tell("warning: the realm \(realm.debugDescription) is not in the configuration")
    }
    return realm
  }

  /// The store of a realm; for a realm that is not configured, the default store.
  private func storePath(_ settings: Settings, realm: String) throws(Failure) -> String {
    let scheme = "sqlite:"
    let store = settings.realms[realm]?.store ?? settings.auth.store
    guard store.hasPrefix(scheme) else {
      let key = settings.realms[realm] == nil ? "auth.store" : "realms.\(realm).store"
      throw .failed("no credential store is configured: set \(key), for example to sqlite:turnpike.db")
    }
    if store.hasPrefix("\(scheme)/") { return String(store.dropFirst(scheme.count)) }
    let directory = StateDirectory.resolve(
      configured: settings.stateDirectory, environment: Environment.variables())
    if directory.isNew, let path = directory.path { tell("made the state directory \(path)") }
    if let path = StorePath.path(of: store, in: directory.path) { return path }
    guard settings.stateDirectory.isEmpty else { throw .wrongConfiguration([.stateDirectory(directory)]) }
    throw .failed(
      "no state directory can be written (\(directory.refusals.joined(separator: "; "))): run this as the server's user, or set state-directory"
    )
  }
}

/// One line of standard input, without its newline.
func lineOfInput(_ what: String) throws(Failure) -> [UInt8] {
  if StandardStreams.isInputTerminal { tell("type the \(what), then Return and Ctrl-D") }
  var bytes: [UInt8]
  do throws(FileError) {
    bytes = try StandardStreams.readInput(limit: .kibibytes(4))
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
  if let edges = DeceptiveEdges.describe(String(decoding: bytes, as: UTF8.self)) {
    tell("warning: the \(what) \(edges), which is taken as part of it")
  }
  return bytes
}
