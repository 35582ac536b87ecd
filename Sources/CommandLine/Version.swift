/// The version of the three programs, as `--version` prints it.
public let version = "0.1.0"
