/// Every option there is; each command takes some of them.
enum Option: String, CaseIterable {
  case config = "--config"
  case set = "--set"
  case realm = "--realm"
  case passwordFromInput = "--password-stdin"
  case secretFromInput = "--secret-stdin"
  case user = "--user"
  case timeToLive = "--ttl"
  case keyID = "--kid"
  case help = "--help"

  var takesValue: Bool {
    switch self {
    case .config, .set, .realm, .user, .timeToLive, .keyID: true
    case .passwordFromInput, .secretFromInput, .help: false
    }
  }

  /// Only `--set` adds up; of the others a second one is more often a slip than a wish.
  var isRepeatable: Bool { self == .set || self == .help }
}

/// A command line, taken apart: options may stand anywhere, `--` ends them.
struct Arguments {
  private(set) var words: [String] = []
  private var values: [Option: [String]] = [:]

  init(_ arguments: [String]) throws(Failure) {
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      if argument == "--" {
        words += rest
        return
      }
      guard argument.hasPrefix("-"), argument != "-" else {
        words.append(argument)
        continue
      }
      let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = argument == "-h" ? "--help" : String(parts[0])
      guard let option = Option(rawValue: name) else {
        throw .usage(
          "there is no option \(name.debugDescription)",
          hint: nearest(name, among: Option.allCases.map(\.rawValue)) ?? "try: turnpike help")
      }
      let inline = parts.count == 2 ? String(parts[1]) : nil
      try take(option, inline: inline, from: &rest)
    }
  }

  var options: [Option] { Option.allCases.filter { values[$0] != nil } }

  func has(_ option: Option) -> Bool { values[option] != nil }

  func all(_ option: Option) -> [String] { values[option] ?? [] }

  subscript(option: Option) -> String? { values[option]?.last }

  private mutating func take(
    _ option: Option, inline: String?, from rest: inout ArraySlice<String>
  ) throws(Failure) {
    guard option.isRepeatable || values[option] == nil else {
      throw .usage("\(option.rawValue) is given twice", hint: "give it once")
    }
    guard option.takesValue else {
      guard inline == nil else { throw .usage("\(option.rawValue) takes no value", hint: "leave it out") }
      values[option] = []
      return
    }
    guard let value = inline ?? rest.popFirst(), !value.isEmpty else {
      throw .usage("\(option.rawValue) has no value", hint: "write \(option.rawValue) \(option.valueName)")
    }
    guard option != .set || value.contains("=") else {
      throw .usage("--set \(value.debugDescription) has no value", hint: "write --set KEY=VALUE")
    }
    values[option, default: []].append(value)
  }
}

extension Option {
  fileprivate var valueName: String {
    switch self {
    case .config: "FILE"
    case .set: "KEY=VALUE"
    case .realm: "REALM"
    case .user, .keyID: "ID"
    case .timeToLive: "SECONDS"
    case .passwordFromInput, .secretFromInput, .help: ""
    }
  }
}
