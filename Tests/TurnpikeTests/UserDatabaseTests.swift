import Foundation
import TestSupport
import Testing

@Suite("turnpike import coturn --userdb")
struct UserDatabaseTests {
  private static let turnadmin = "/usr/bin/turnadmin"

  /// A database that coturn's turnadmin has written.
  private func database(in folder: TemporaryDirectory) throws -> String {
    let path = folder.path("turndb")
    for (name, realm, password) in [
      ("alice", "example.org", "secret"), ("bob", "example.org", "hunter2"), ("carol", "example.net", "other"),
    ] {
      _ = try Child.run(
        Self.turnadmin, ["-a", "-b", path, "-u", name, "-r", realm, "-p", password], environment: [:])
    }
    _ = try Child.run(Self.turnadmin, ["-s", "north-wind", "-b", path, "-r", "example.org"], environment: [:])
    return path
  }

  @Test(
    "import stores the users and secrets of turnadmin's database, and a second import changes nothing",
    .enabled(if: FileManager.default.isExecutableFile(atPath: turnadmin)))
  func users() async throws {
    let folder = try TemporaryDirectory()
    let program = try Program()
    let path = try database(in: folder)
    let file = try folder.write("realm=example.org\nuserdb=\(path)\n", to: "turnserver.conf")
    let first = try await program.run("import", "coturn", file, "--userdb", path)
    #expect(first.status == 0, "\(first.errors)")
    #expect(first.output.contains("realm: example.org"))
    #expect(first.errors.contains("2 more users and 1 more secrets of the realm example.org"))
    #expect(first.errors.contains("1 more users and 0 more secrets of the realm example.net"))
    #expect(first.errors.contains("example.net is another realm"))
    #expect(!first.errors.contains("import coturn FILE --userdb FILE"))
    let list = try await program.run("user", "list", "--realm", "example.org")
    #expect(list.output.contains("alice\texample.org") && list.output.contains("bob\texample.org"))
    #expect(try await program.run("secret", "list", "--realm", "example.org").output.contains("example.org"))
    let second = try await program.run("import", "coturn", file, "--userdb", path)
    #expect(second.status == 0 && second.errors.contains("0 more users and 0 more secrets of the realm example.org"))
    #expect(second.errors.contains("the user \"alice\" exists and stays as it is"))
  }

  @Test("Peers and keys of access tokens are in the printed configuration")
  func configuration() async throws {
    let folder = try TemporaryDirectory()
    let path = folder.path("turndb")
    try Self.sqlite(
      """
      CREATE TABLE turnusers_lt (realm varchar(127), name varchar(512), hmackey char(128));
      CREATE TABLE denied_peer_ip (realm varchar(127), ip_range varchar(256));
      CREATE TABLE allowed_peer_ip (realm varchar(127), ip_range varchar(256));
      CREATE TABLE oauth_key (kid varchar(128), ikm_key varchar(256), timestamp bigint, lifetime integer,
        as_rs_alg varchar(64), realm varchar(127));
      CREATE TABLE admin_user (name varchar(32), realm varchar(127), password varchar(127));
      INSERT INTO turnusers_lt VALUES ('example.org', 'dave', 'not a key'), ('', 'erin', '\(String(repeating: "a", count: 32))');
      INSERT INTO denied_peer_ip VALUES ('', '192.0.2.0-192.0.2.255');
      INSERT INTO allowed_peer_ip VALUES ('', '10.1.2.3');
      INSERT INTO oauth_key VALUES ('north', 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=', 1000, 60, 'A256GCM', '');
      INSERT INTO oauth_key VALUES ('bad', 'AAAA', 0, 0, 'A256GCM', '');
      INSERT INTO admin_user VALUES ('root', '', 'x');
      """, path)
    let file = try folder.write("realm=example.org\n", to: "turnserver.conf")
    let result = try await Program().run("import", "coturn", file, "--userdb", path)
    #expect(result.status == 0, "\(result.errors)")
    for line in ["- \"192.0.2.0/24\"", "- \"10.1.2.3/32\"", "id: north", "not-after: 1060"] {
      #expect(result.output.contains(line), "\(line)\n\(result.output)")
    }
    for line in [
      "the key of the user \"dave\" is not an MD5 key", "1 users and 0 secrets have no realm",
      "the key \"bad\" of oauth_key", "the table admin_user has no equivalent",
    ] { #expect(result.errors.contains(line), "\(line)\n\(result.errors)") }
    let yaml = try folder.write(result.output, to: "turnpike.yml")
    #expect(try await Program().run("check", yaml).status == 0)
  }

  @Test("A file that is no database of coturn is refused with its path", arguments: ["text", "CREATE TABLE a (b);"])
  func foreign(content: String) async throws {
    let folder = try TemporaryDirectory()
    let path = folder.path("turndb")
    if content == "text" {
      try folder.write("just text, and a few more bytes than a header\n", to: "turndb")
    } else {
      try Self.sqlite(content, path)
    }
    let file = try folder.write("realm=example.org\n", to: "turnserver.conf")
    let result = try await Program().run("import", "coturn", file, "--userdb", path)
    #expect(result.status == 1 && result.output.isEmpty && result.errors.contains(path), "\(result.errors)")
  }

  /// Runs statements with Python's sqlite3, which every test host has.
  private static func sqlite(_ statements: String, _ path: String) throws {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.stdin.read()); c.close()"
    let result = try Child.run("/usr/bin/python3", ["-c", script, path], environment: [:], input: statements)
    #expect(result.status == 0, "\(result.errors)")
  }
}
