internal import Configuration
internal import NetworkTypes
internal import System
internal import TurnpikeServer

/// Runs `turnpike import coturn FILE`: prints the translated configuration, and on standard error the remarks.
/// With `--userdb` the users and secrets of coturn's database are stored in our store.
func importConfiguration(_ invocation: Invocation) throws(Failure) -> Int32 {
  guard let kind = invocation.operands.first else {
    throw .usage("import needs coturn FILE", hint: "try: turnpike help import")
  }
  guard kind == "coturn" else {
    throw .usage("import does not know \(kind.debugDescription)", hint: "try: turnpike import coturn FILE")
  }
  let path = try invocation.operands(after: 1, ["FILE"])[0]
  let bytes: [UInt8]
  do throws(FileError) { bytes = try Files.read(path) } catch { throw .failed(Files.reason(error, of: path)) }
  let database = try invocation.arguments["--userdb"].map { path throws(Failure) in try UserDatabaseImport(path) }
  let translation =
    database?.translation(of: bytes) ?? CoturnTranslation(bytes, hostAddress: ConfigurationRules.sourceAddress)
  for remark in translation.remarks { writeRemark(remark, path) }
  try print(translation.yaml)
  // The configuration is read as the server reads it, so that a value that the server refuses is reported now.
  let reader = ConfigurationReader(environment: [:]) { _ in bytes }
  do {
    let translated = try reader.read(coturn: path, hostAddress: ConfigurationRules.sourceAddress)
    try database?.store(with: invocation, realm: translated.settings.realm)
    return 0
  } catch let error as ConfigurationError {
    throw .wrongConfiguration(error.problems.filter { $0.severity == .error })
  } catch let error as Failure {
    throw error
  } catch {
    throw .failed("\(error)")
  }
}

private func writeRemark(_ remark: CoturnTranslation.Remark, _ path: String) {
  guard !remark.isDifference else { return writeProblem(remark.problem(path: path)) }
  StandardStreams.writeError("turnpike: note: \(remark.problem(path: path))\n")
}
