internal import Crypto
internal import Foundation
internal import JSON
internal import NetworkTypes
internal import TestSupport
internal import Testing

@testable internal import turnpike

@Suite("The turnpike command line")
struct CommandLineTests {
  @Test(
    "Wrong usage exits with 64, a hint on standard error and no standard output",
    arguments: [
      (["usr"], "did you mean user?"), (["user"], "add, list, remove, passwd"),
      (["user", "ad", "x"], "did you mean add?"),
      (["user", "add"], "NAME"), (["user", "add", "a", "b"], "\"b\""), (["secret", "remove"], "ID"),
      (["secret", "remove", "x"], "secret list"), (["--confg", "x"], "did you mean --config?"), (["--config"], "FILE"),
      (["--config", "a", "--config", "b"], "twice"), (["--set", "realm"], "KEY=VALUE"),
      (["check", "a", "extra"], "\"extra\""), (["serve", "x"], "--config"),
      (["check", "--ttl", "1"], "no option --ttl"), (["credentials", "--ttl", "0"], "--ttl"),
      (["help", "usr"], "did you mean"),
      (["user", "list", "--password-stdin"], "no option"), (["--help=yes"], "no value"),
      (["kick"], "ID"), (["ban"], "add, list, remove"), (["ban", "add"], "ADDRESS"), (["ban", "ad", "x"], "add"),
      (["ban", "add", "192.0.2.1", "--ttl", "1h"], "--ttl"), (["ban", "list", "--close"], "--close"),
      (["user", "add", "a", "--close"], "--close"), (["user", "remove", "a", "--admin", "unix:/x"], "--close"),
      (["secret", "list", "--close"], "--close"), (["status", "x"], "\"x\""),
      (["sessions", "--transport", "sctp"], "udp, tcp, tls or dtls"),
      (["status", "--admin", "example.org"], "http://IP:PORT"), (["capture", "--json"], "no option --json"),
      (["capture"], "--user"), (["capture", "--user", "a", "--seconds", "601"], "1 to 600"),
    ])
  func wrongUsage(arguments: [String], hint: String) async throws {
    let result = try await Program().run(arguments)
    #expect(result.status == 64)
    #expect(result.errors.contains(hint), "\(result.errors)")
    #expect(result.output.isEmpty)
  }

  @Test("check takes the file with and without --config, and recognises a turnserver.conf")
  func checkedFile() async throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write("listening-port=3478\nlt-cred-mech\n", to: "turnserver.conf")
    for words in [["check", file], ["check", "--config", file]] {
      let result = try await Program().run(words)
      #expect(result.status == 78 && result.output.isEmpty)
      #expect(result.errors.contains("turnserver.conf:1: this looks like coturn's turnserver.conf"), "\(result.errors)")
    }
    #expect(try await Program().run(["check", "--config", file, file]).status == 64)
  }

  @Test(
    "help exits with 0, writes to standard output, and each text fits a screen",
    arguments: [
      "serve", "check", "user", "secret", "credentials", "version", "help", "import", "status", "sessions", "kick",
      "ban",
      "drain", "reload",
      "upgrade", "capture", "doctor", "demo", "oauth-token",
    ])
  func help(command: String) async throws {
    let program = try Program()
    let texts = [
      try await program.run("help", command), try await program.run(command, "-h"),
      try await program.run(command, "--help"),
    ]
    for text in texts {
      #expect(text.status == 0)
      #expect(text.output == texts[0].output && text.errors.isEmpty)
    }
    let lines = texts[0].output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count <= 24 && lines.allSatisfy { $0.count <= 80 })
  }

  @Test("oauth-token prints a token sealed for the realm with the requested key")
  func accessToken() async throws {
    let keys =
      "[{ id: a, key: AAAAAAAAAAAAAAAAAAAAAA==, algorithm: A128GCM }, { id: b, key: "
      + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, algorithm: A256GCM }]"
    let program = try Program()
    let file = try program.directory.write("auth: { oauth-keys: \(keys) }\nrealm: example.org\n", to: "t.yml")
    let result = try await program.run("oauth-token", "--kid", "b", "--ttl", "60", "--config", file)
    #expect(result.status == 0, "\(result.errors)")
    let document = try JSONValue.decode(result.output)
    #expect(document["kid"]?.string == "b" && document["server_name"]?.string == "example.org")
    let token = try #require(document["access_token"]?.string.flatMap { Base64.decode($0) })
    #expect(token.count == 64)
    #expect(document["mac_key"]?.string.flatMap { Base64.decode($0) }?.count == 20)
    #expect(document["lifetime"]?.integer == 60)
    let unknown = try await program.run("oauth-token", "--kid", "c", "--config", file)
    let without = try await program.run("oauth-token")
    #expect(unknown.status == 1 && without.status == 1)
  }

  @Test("version prints one line", arguments: ["version", "--version", "-v", "-V"])
  func version(word: String) async throws {
    let result = try await Program().run(word)
    #expect(result.status == 0 && result.errors.isEmpty)
    #expect(result.output.hasPrefix("turnpike ") && result.output.count { $0 == "\n" } == 1)
  }

  @Test("The overview names every command")
  func overview() async throws {
    let text = try await Program().run("help").output
    for command in [
      "check", "user add", "secret add", "credentials", "oauth-token", "version", "import", "status", "sessions",
      "kick", "ban", "drain",
      "reload", "upgrade", "capture", "doctor", "demo",
    ] {
      #expect(text.contains(command), "\(command)")
    }
  }

  @Test("help configuration has every key that check prints")
  func reference() async throws {
    let program = try Program()
    let reference = try await program.run("help", "configuration").output
    for key in [
      "realm:", "auth.nonce-lifetime: 10m\n", "TURNPIKE_LIMITS_ALLOCATIONS_PER_USER", "relay.ports: 49152-65535",
      "admin.demo: false\n",
    ] {
      #expect(reference.contains(key))
    }
    for line in reference.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    let keys = reference.split(separator: "\n").filter { $0.first?.isLetter == true && $0.contains(":") }.map {
      $0.prefix { $0 != ":" }
    }
    let checked = try await program.run("check").output
    for line in checked.split(separator: "\n") where line.first?.isLetter == true {
      let section = line.prefix { $0 != ":" }
      #expect(keys.contains { $0 == section || $0.hasPrefix(section + ".") }, "\(line)")
    }
  }

  @Test("help turnpike.yml prints the configuration's manual, and turnpike(1) has every command")
  func manuals() async throws {
    let made = try await Program().run("help", "turnpike.yml").output
    #expect(made == (try Paths.text("docs/man/turnpike.yml.5")), "run deploy/generate")
    #expect(made.split(separator: "\n").allSatisfy { !$0.hasPrefix("'") })
    let manual = try Paths.text("docs/man/turnpike.1")
    for command in Command.allCases where command != .help {
      #expect(manual.contains("Cm \(command.rawValue)"))
    }
  }

  @Test("check prints the effective configuration of file, environment and --set without secrets")
  func check() async throws {
    let program = try Program()
    let file = try program.directory.write(
      "realm: from-file\nauth: { users: { alice: hunter2 } }\nlifetime: { permission: 1m }\n", to: "t.yml")
    let result = try await program.run(
      "check", "--config", file, "--set", "log.level=debug", environment: ["TURNPIKE_AUTH_SECRETS": "swordfish"])
    #expect(result.status == 0)
    #expect(result.output.contains("realm: from-file\n") && result.output.contains("  level: debug\n"))
    #expect(result.output.contains("    alice: \"<redacted>\"\n"))
    #expect(!result.output.contains("hunter2") && !result.output.contains("swordfish"))
    #expect(result.errors.contains("warning: \(file):3: lifetime.permission"))
  }

  @Test(
    "Every command exits with 78 for a wrong configuration, with each problem and its line",
    arguments: [
      ["check"], ["serve"], [], ["user", "list"], ["secret", "list"], ["credentials"],
    ])
  func wrongConfiguration(command: [String]) async throws {
    let program = try Program()
    let file = try program.directory.write(
      "reaml: a\nworkers: many\nauth:\n  users: { alice: \"\\a\" }\n", to: "t.yml")
    let result = try await program.run(command + ["--config", file])
    #expect(result.status == 78)
    #expect(result.errors.contains("\(file):1: reaml: unknown key; did you mean realm?"))
    #expect(result.errors.contains("\(file):2: workers: "))
    #expect(result.output.isEmpty)
  }

  @Test(
    "turnpike demo needs an address that a browser can open",
    arguments: [
      ("unix:/run/turnpike/admin.sock", "admin.listen: unix:/run/turnpike/admin.sock is no address that a browser"),
      ("\"\"", "admin.demo: the demo page is a part of the admin endpoint, and admin.listen is empty"),
    ])
  func demoWithoutAddress(place: String, problem: String) async throws {
    let program = try Program()
    let file = try program.directory.write("admin:\n  listen: \(place)\n", to: "t.yml")
    let result = try await program.run("demo", "--config", file)
    #expect(result.status == 78 && result.output.isEmpty)
    #expect(result.errors.contains(problem) && result.errors.contains("127.0.0.1:8478"), "\(result.errors)")
  }

  @Test("Unusable static users and unreadable files are a wrong configuration")
  func unusable() async throws {
    let program = try Program()
    let file = try program.directory.write(
      "auth:\n  users:\n    alice: \"hunter2\\a\"\ntls:\n  certificate: /no/such.pem\n  private-key: /no/such.key\n",
      to: "t.yml")
    let result = try await program.run("check", "--config", file)
    #expect(result.status == 78)
    #expect(result.errors.contains("\(file):2: auth.users.alice: the password can't be used"))
    #expect(
      result.errors.contains("\(file):5: tls.certificate: cannot read \"/no/such.pem\": No such file or directory"))
    #expect(!result.errors.contains("hunter2"))
  }

  @Test("Users are added, listed, changed and removed, and a generated password is the whole output")
  func users() async throws {
    let program = try Program()
    let added = try await program.run("user", "add", "alice")
    #expect(added.status == 0)
    #expect(
      added.output.count == 23 && added.output.dropLast().allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) })
    let again = try await program.run("user", "add", "alice")
    #expect(
      again.status == 1 && again.output.isEmpty
        && again.errors.contains("realm \"turnpike\" has a user \"alice\" already"))
    #expect(again.errors.contains("turnpike user passwd alice"))
    let given = try await program.run("user", "add", "--password-stdin", "--", "-dash", input: "pass word\n")
    #expect(given.status == 0 && given.output.isEmpty && !given.errors.contains("pass word"))
    let other = try await program.run("user", "add", "alice", "--realm", "elsewhere")
    #expect(other.status == 0 && other.errors.contains("not in the configuration"))
    let list = try await program.run("user", "list")
    let names = list.output.split(separator: "\n").map { $0.split(separator: "\t").prefix(2).joined(separator: " ") }
    #expect(names == ["alice elsewhere", "-dash turnpike", "alice turnpike"])
    #expect(try await program.run("user", "passwd", "alice").output != added.output)
    let unknown = try await program.run("user", "passwd", "bob")
    #expect(unknown.status == 1 && unknown.errors.contains("realm \"turnpike\" has no user \"bob\""))
    #expect(try await program.run("user", "remove", "alice").status == 0)
    #expect(try await program.run("user", "remove", "alice").status == 1)
    #expect(try await program.run("user", "list", "--realm", "turnpike").output.hasPrefix("-dash\tturnpike\t20"))
  }

  @Test(
    "An empty password, one of two lines and a forbidden one are refused", arguments: ["", "\n", "a\nb\n", "a\tb\n"])
  func wrongPasswords(input: String) async throws {
    let program = try Program()
    let result = try await program.run("user", "add", "alice", "--password-stdin", input: input)
    #expect(result.status == 1)
    #expect(try await program.run("user", "list").output.isEmpty)
  }

  @Test("Secrets are added, listed without their content, used and removed")
  func secrets() async throws {
    let program = try Program()
    #expect(try await program.run("credentials").status == 1)
    let made = try await program.run("secret", "add")
    #expect(made.status == 0 && made.output.count == 44)
    let given = try await program.run("secret", "add", "--secret-stdin", input: "swordfish\n")
    #expect(given.status == 0 && given.output.isEmpty)
    let list = try await program.run("secret", "list")
    #expect(list.output.split(separator: "\n").map { $0.prefix(11) } == ["1\tturnpike\t", "2\tturnpike\t"])
    #expect(!list.output.contains("swordfish") && !list.output.contains(made.output.dropLast()))
    #expect(try await program.run("secret", "remove", "1").status == 0)
    #expect(try await program.run("secret", "remove", "1").status == 1)

    let before = Int64(Date().timeIntervalSince1970)
    let printed = try await program.run(
      "credentials", "--user", "bob", "--ttl", "60", "--set", "relay.addresses=192.0.2.1",
      "--set", "relay.advertise=192.0.2.1=203.0.113.1", "--set", "listeners=udp://0.0.0.0:21000,tls://127.0.0.1:21001")
    let server = try #require(try JSONValue.decode(printed.output)["iceServers"]?[0])
    let username = try #require(server["username"]?.string)
    let expiry = try #require(TimeLimitedCredential.expiry(ofUsername: Array(username.utf8)))
    #expect((before + 60...before + 90).contains(expiry.seconds))
    #expect(username.hasSuffix(":bob"))
    let password = TimeLimitedCredential.password(username: Array(username.utf8), secret: Array("swordfish".utf8))
    #expect(server["credential"]?.string == String(decoding: password, as: UTF8.self))
    #expect(
      server["urls"]?.array?.compactMap(\.string) == [
        "stun:203.0.113.1:21000", "turn:203.0.113.1:21000?transport=udp",
      ])
    // A configured secret has priority over those in the store.
    let configured = try await program.run("credentials", "--set", "auth.secrets=first,second")
    let other = try #require(try JSONValue.decode(configured.output)["iceServers"]?[0])
    let name = try #require(other["username"]?.string)
    let expected = TimeLimitedCredential.password(username: Array(name.utf8), secret: Array("first".utf8))
    #expect(other["credential"]?.string == String(decoding: expected, as: UTF8.self))
  }

  @Test("Without a store, or a directory for it, the user command fails with a remedy")
  func noStore() async throws {
    let program = try Program()
    let none = try await program.run("user", "list", "--set", "auth.store=", "--set", "auth.anonymous=true")
    #expect(none.status == 1 && none.errors.contains("set auth.store"))
    let nowhere = try await program.run("user", "list", "--set", "state-directory=/proc/turnpike")
    #expect(nowhere.status == 78 && nowhere.errors.contains("state-directory: cannot be used: /proc/turnpike: "))
    let mistyped = program.directory.path("mistyped/state")
    let missing = try await program.run("user", "add", "alice", "--set", "state-directory=\(mistyped)")
    #expect(missing.status == 78 && missing.errors.contains("there is no folder"))
    // Only the last directory of the path is created, and this is reported.
    let made = try await program.run("user", "add", "alice")
    #expect(made.status == 0 && made.errors.contains("made the state directory \(program.directory.path("state"))\n"))
  }
}
