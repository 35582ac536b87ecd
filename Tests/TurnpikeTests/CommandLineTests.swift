internal import Crypto
internal import Foundation
internal import JSON
internal import TestSupport
internal import Testing

@Suite("The turnpike command line")
struct CommandLineTests {
  @Test("wrong usage: 64, with a hint on standard error and nothing on standard output", arguments: [
    (["usr"], "did you mean user?"), (["user"], "add, list, remove, passwd"), (["user", "ad", "x"], "did you mean add?"),
    (["user", "add"], "NAME"), (["user", "add", "a", "b"], "\"b\""), (["secret", "remove"], "ID"),
    (["secret", "remove", "x"], "secret list"), (["--confg", "x"], "did you mean --config?"), (["--config"], "FILE"),
    (["--config", "a", "--config", "b"], "twice"), (["--set", "realm"], "KEY=VALUE"), (["check", "extra"], "\"extra\""),
    (["check", "--ttl", "1"], "no option --ttl"), (["credentials", "--ttl", "0"], "--ttl"), (["help", "usr"], "did you mean"),
    (["user", "list", "--password-stdin"], "no option"), (["--help=yes"], "no value"),
  ])
  func wrongUsage(arguments: [String], hint: String) async throws {
    let result = try await Program().run(arguments)
    #expect(result.status == 64)
    #expect(result.errors.contains(hint), "\(result.errors)")
    #expect(result.output.isEmpty)
  }

  @Test("help: 0, on standard output, and each text fits a screen", arguments: [
    "serve", "check", "user", "secret", "credentials", "version", "help", "import", "status", "sessions", "drain", "kick",
    "oauth-token",
  ])
  func help(command: String) async throws {
    let program = try Program()
    let texts = [
      try await program.run("help", command), try await program.run(command, "-h"), try await program.run(command, "--help"),
    ]
    for text in texts {
      #expect(text.status == 0)
      #expect(text.output == texts[0].output && text.errors.isEmpty)
    }
    let lines = texts[0].output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count <= 24 && lines.allSatisfy { $0.count <= 80 })
  }

  @Test("what this version does not have says so: 1", arguments: [
    ["import", "coturn", "turnserver.conf"], ["status"], ["sessions"], ["drain"], ["kick", "1"],
  ])
  func missing(arguments: [String]) async throws {
    let result = try await Program().run(arguments)
    #expect(result.status == 1)
    #expect(result.errors.contains("does not have the command \(arguments[0])"))
  }

  @Test("oauth-token prints what a client needs, sealed for the realm, with the key that was asked for")
  func accessToken() async throws {
    let keys = "[{ id: a, key: AAAAAAAAAAAAAAAAAAAAAA==, algorithm: A128GCM }, { id: b, key: "
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

  @Test("version prints one line")
  func version() async throws {
    let result = try await Program().run("version")
    #expect(result.status == 0)
    #expect(result.output.hasPrefix("turnpike ") && result.output.count { $0 == "\n" } == 1)
  }

  @Test("help configuration has every key that check prints")
  func reference() async throws {
    let program = try Program()
    let reference = try await program.run("help", "configuration").output
    for key in ["realm:", "auth.nonce-lifetime: 10m", "TURNPIKE_LIMITS_ALLOCATIONS_PER_USER", "relay.ports: 49152-65535"] {
      #expect(reference.contains(key))
    }
  }

  @Test("check prints the effective configuration of file, environment and --set, secrets redacted")
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

  @Test("a wrong configuration: 78 from every command, with every problem and its line", arguments: [
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

  @Test("static users that no client could use, and files that can't be read, are wrong configuration")
  func unusable() async throws {
    let program = try Program()
    let file = try program.directory.write(
      "auth:\n  users:\n    alice: \"hunter2\\a\"\ntls:\n  certificate: /no/such.pem\n  private-key: /no/such.key\n",
      to: "t.yml")
    let result = try await program.run("check", "--config", file)
    #expect(result.status == 78)
    #expect(result.errors.contains("\(file):2: auth.users.alice: the password can't be used"))
    #expect(result.errors.contains("\(file):5: tls.certificate: cannot read \"/no/such.pem\": No such file or directory"))
    #expect(!result.errors.contains("hunter2"))
  }

  @Test("users are added, listed, changed and removed; a made password is all of standard output")
  func users() async throws {
    let program = try Program()
    let added = try await program.run("user", "add", "alice")
    #expect(added.status == 0)
    #expect(added.output.count == 23 && added.output.dropLast().allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) })
    let again = try await program.run("user", "add", "alice")
    #expect(again.status == 1 && again.output.isEmpty && again.errors.contains("already"))
    let given = try await program.run("user", "add", "--password-stdin", "--", "-dash", input: "pass word\n")
    #expect(given.status == 0 && given.output.isEmpty && !given.errors.contains("pass word"))
    let other = try await program.run("user", "add", "alice", "--realm", "elsewhere")
    #expect(other.status == 0 && other.errors.contains("not in the configuration"))
    let list = try await program.run("user", "list")
    let names = list.output.split(separator: "\n").map { $0.split(separator: "\t").prefix(2).joined(separator: " ") }
    #expect(names == ["alice elsewhere", "-dash turnpike", "alice turnpike"])
    #expect(try await program.run("user", "passwd", "alice").output != added.output)
    #expect(try await program.run("user", "passwd", "bob").status == 1)
    #expect(try await program.run("user", "remove", "alice").status == 0)
    #expect(try await program.run("user", "remove", "alice").status == 1)
    #expect(try await program.run("user", "list", "--realm", "turnpike").output.hasPrefix("-dash\tturnpike\t20"))
  }

  @Test("a password that is empty, of two lines or forbidden is refused", arguments: ["", "\n", "a\nb\n", "a\tb\n"])
  func wrongPasswords(input: String) async throws {
    let program = try Program()
    let result = try await program.run("user", "add", "alice", "--password-stdin", input: input)
    #expect(result.status == 1)
    #expect(try await program.run("user", "list").output.isEmpty)
  }

  @Test("secrets are added, listed without themselves, used and removed")
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

    let before = UInt64(Date().timeIntervalSince1970)
    let printed = try await program.run(
      "credentials", "--user", "bob", "--ttl", "60", "--set", "relay.addresses=192.0.2.1",
      "--set", "relay.advertise=192.0.2.1=203.0.113.1", "--set", "listeners=udp://0.0.0.0:21000,tls://127.0.0.1:21001")
    let server = try #require(try JSONValue.decode(printed.output)["iceServers"]?[0])
    let username = try #require(server["username"]?.string)
    let expiry = try #require(TimeLimitedCredential.expiry(ofUsername: Array(username.utf8)))
    #expect((before + 60...before + 90).contains(expiry))
    #expect(username.hasSuffix(":bob"))
    let password = TimeLimitedCredential.password(username: Array(username.utf8), secret: Array("swordfish".utf8))
    #expect(server["credential"]?.string == String(decoding: password, as: UTF8.self))
    #expect(server["urls"]?.array?.compactMap(\.string) == [
      "turn:203.0.113.1:21000?transport=udp", "turns:127.0.0.1:21001?transport=tcp",
    ])
    // A configured secret comes before the store's.
    let configured = try await program.run("credentials", "--set", "auth.secrets=first,second")
    let other = try #require(try JSONValue.decode(configured.output)["iceServers"]?[0])
    let name = try #require(other["username"]?.string)
    let expected = TimeLimitedCredential.password(username: Array(name.utf8), secret: Array("first".utf8))
    #expect(other["credential"]?.string == String(decoding: expected, as: UTF8.self))
  }

  @Test("without a store, or a directory for it, managing users fails with a remedy")
  func noStore() async throws {
    let program = try Program()
    let none = try await program.run("user", "list", "--set", "auth.store=", "--set", "auth.anonymous=true")
    #expect(none.status == 1 && none.errors.contains("set auth.store"))
    let nowhere = try await program.run("user", "list", "--set", "state-directory=/proc/turnpike")
    #expect(nowhere.status == 1 && nowhere.errors.contains("state-directory"))
  }
}
