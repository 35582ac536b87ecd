internal import Configuration

/// Every key of the configuration, as text and as a manual page, made from the schema.
enum ConfigurationReference {
  private static let width = 80

  /// The output of `turnpike help configuration`: for each key a line `KEY: DEFAULT`, and below it the accepted values.
  static var text: String {
    var lines = [
      "Every key of the configuration file with its default and its values. In the",
      "environment auth.nonce-lifetime is TURNPIKE_AUTH_NONCE_LIFETIME. A key that",
      "takes effect at once needs only a reload (SIGHUP).", "",
    ]
    for key in ConfigurationKey.all {
      lines += wrapped("\(key.path): \(key.shortDefault)" + (key.isMissing ? "  (not in this version)" : ""), indent: 0)
      lines += wrapped(key.summary, indent: 4)
      lines += wrapped("takes \(key.expectation)", indent: 4)
      lines += wrapped("takes effect: \(key.takesEffect.description)", indent: 4)
      lines += wrapped("environment: \(key.environmentName)", indent: 4)
    }
    return lines.joined(separator: "\n")
  }

  /// Lines of at most 80 columns; a longer word has its own line.
  private static func wrapped(_ text: String, indent: Int) -> [String] {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ", omittingEmptySubsequences: false) {
      if !line.isEmpty, indent + line.count + 1 + word.count > width {
        lines.append(margin + line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    return lines + [margin + line]
  }

  /// turnpike.yml(5), as mdoc(7).
  static var manual: String {
    var lines = [
      ".\\\" Made by `turnpike help turnpike.yml`; do not edit.", ".Dd November 26, 2026", ".Dt TURNPIKE.YML 5",
      ".Os Turnpike",
      ".Sh NAME", ".Nm turnpike.yml", ".Nd configuration of the STUN and TURN server", ".Sh DESCRIPTION",
      "The configuration of", ".Xr turnpike 1", "is a YAML file:", ".Pa /etc/turnpike/turnpike.yml ,",
      "or the one that", ".Fl -config", "names.", "A dot in a key below stands for a level of the file:",
      ".Bd -literal -offset indent",
      "auth:", "  nonce-lifetime: 10m", ".Ed", ".Pp",
      "Durations are seconds, or have a unit: 90s, 10m, 1h, 1d.", "Rates are bytes a second, or 64k, 2M, 1G (decimal).",
      "A limit of 0 is no limit.",
      "Any text may be", ".Li file:PATH", "(the content of that file without one final newline) or", ".Li env:NAME .",
      ".Pp",
      "An environment variable overrides the file, and", ".Fl -set Ar key Ns = Ns Ar value", "overrides both.",
      "In both a list is", ".Li a,b", "or", ".Li [a, b] ,", "and a map", ".Li a=1,b=2", "or", ".Li { a: 1, b: 2 } .",
      ".Pp", "A running server reads the configuration again when it gets",
      ".Dv SIGHUP .",
      "Each key says whether its new value takes effect at once or at a restart.",
      ".Sh KEYS", ".Bl -tag -width Ds",
    ]
    for key in ConfigurationKey.all {
      lines += [".It Ic \(key.path)", "\(key.manualSummary)."]
      if key.isMissing { lines.append("Not in this version: every value but the default is refused.") }
      lines += [".br", "Takes \(escaped(key.expectation)).", ".br"]
      let fallback = key.shortDefault
      lines.append("Default:")
      lines += fallback == "\"\"" ? ["empty."] : [".Li \(escaped(fallback))"]
      lines += [".br", "Takes effect: \(escaped(key.takesEffect.description))."]
      lines += [".br", "Environment:", ".Ev \(key.environmentName)"]
    }
    lines += [
      ".El", ".Sh EXAMPLES", ".Bd -literal -offset indent", "realm: example.org", "tls:",
      "  certificate: /etc/letsencrypt/live/turn.example.org/fullchain.pem",
      "  private-key: /etc/letsencrypt/live/turn.example.org/privkey.pem", "relay:",
      "  advertise: auto", "auth:", "  secrets: [ \"file:/run/secrets/turn\" ]", "limits:",
      "  allocations-per-user: 10", ".Ed", ".Sh SEE ALSO", ".Xr turnpike 1",
    ]
    return lines.joined(separator: "\n")
  }

  /// Text with roff's requests and escapes quoted.
  fileprivate static func escaped(_ text: String) -> String {
    let plain = text.replacing("\\", with: "\\e").replacing("-", with: "\\-")
    return plain.hasPrefix(".") || plain.hasPrefix("'") ? "\\&" + plain : plain
  }
}

extension ConfigurationKey {
  /// The default on one line; "(several)" for a long list.
  fileprivate var shortDefault: String { defaultValue.utf8.count > 60 ? "(several)" : defaultValue }

  fileprivate var manualSummary: String {
    let text = ConfigurationReference.escaped(summary)
    return (text.first?.uppercased() ?? "") + text.dropFirst()
  }
}
