internal import Configuration
internal import NetIO
internal import TLS

/// Files of the server: certificates, the store, the generated first user.
extension Server {
  func makeTLSContext() throws(StartFailure) -> TLSContext? { nil }
  func storePath() throws(StartFailure) -> String { "" }
  func firstUserLine() throws(StartFailure) -> String? { nil }
}
