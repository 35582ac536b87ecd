@testable internal import Configuration

/// The error for a file that a test does not define.
struct NoSuchFile: Error, CustomStringConvertible {
  var description: String { "No such file or directory" }
}

/// Reads `yaml` as the file `t.yml`.
func reader(
  _ yaml: String? = nil, environment: [String: String] = [:], files: [String: String] = [:]
) -> ConfigurationReader {
  ConfigurationReader(environment: environment) { path in
    if path == "t.yml", let yaml { return Array(yaml.utf8) }
    guard let content = files[path] else { throw NoSuchFile() }
    return Array(content.utf8)
  }
}

/// The settings of `yaml`, including features that this version does not have.
func parse(
  _ yaml: String? = nil, environment: [String: String] = [:], set overrides: [String] = [],
  files: [String: String] = [:]
) -> ParsedConfiguration {
  reader(yaml, environment: environment, files: files).parse(file: yaml == nil ? nil : "t.yml", overrides: overrides)
}

func errors(_ parsed: ParsedConfiguration) -> [ConfigurationProblem] {
  parsed.problems.filter { $0.severity == .error }
}
