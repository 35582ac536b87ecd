extension CoturnTranslation {
  /// A remark about an option without an equivalent, or about a line with another meaning in this program.
  public struct Remark: Equatable, Sendable {
    /// The line of the file; nil for a remark about the whole file.
    public var line: Int?
    /// The option's name.
    public var option: String
    /// The reason or the difference.
    public var text: String
    /// Whether the server behaves differently than coturn; if not, the remark is only for information.
    public var isDifference: Bool

    /// A warning that names the file and its line.
    public func problem(path: String) -> ConfigurationProblem {
      ConfigurationProblem(.warning, at: line.map { .file(path: path, line: $0) }, key: option, text)
    }
  }
}
