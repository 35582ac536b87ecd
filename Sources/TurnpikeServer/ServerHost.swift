public import Configuration

/// What the server asks of the program around it.
public struct ServerHost {
  /// Prints one line on standard output: the iceServers of a first start, and nothing else ever.
  public var printLine: (String) -> Void
  /// Reads the configuration again, for SIGHUP; nil where it is wrong now, which has then been logged.
  public var reload: () -> Settings?

  public init(printLine: @escaping (String) -> Void, reload: @escaping () -> Settings?) {
    self.printLine = printLine
    self.reload = reload
  }
}
