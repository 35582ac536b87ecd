import ClientIO
import Foundation
import JSON
import NetworkTypes
import TURNClient
import TestSupport
import Testing

/// `turnpike demo`, and the demo page of the running program.
@Suite("The demo page of the running program", .serialized)
struct DemoServerTests {
  /// Starts `turnpike demo` with an admin endpoint on the port after the listeners' ports.
  private func start(_ number: UInt16, _ settings: [String] = [], users: Bool = false) throws -> RunningServer {
    let port = PortBlock.demo[number]
    return try RunningServer(
      port: port, ["admin.listen=127.0.0.1:\(port + 2)"] + settings, users: users,
      wrapper: ["/bin/sh", "-c", "exec \"$0\" demo \"$@\""])
  }

  /// The value of a member of the first iceServers entry.
  private func member(_ name: String, _ document: JSONValue) -> String {
    document["iceServers"]?[0]?[name]?.string ?? ""
  }

  @Test("turnpike demo prints only the link of a room; the link's key gives credentials that open a relay")
  func link() throws {
    let server = try start(0)
    let port = PortBlock.demo[0] + 2
    let line = server.line
    let prefix = "http://127.0.0.1:\(port)/demo#demo."
    #expect(line.hasPrefix(prefix) && line.hasSuffix("\n") && line.dropLast().count == prefix.count + 24)
    let key = line.dropFirst(prefix.count).dropLast()
    #expect(!server.logged(String(key)) && server.logged("url=http://127.0.0.1:\(port)/demo "))
    let admin = AdminClient(port: port, of: server)
    let answer = try admin.ask("GET", "/demo/access", headers: ["Authorization: Room demo.\(key)"])
    let document = try JSONValue.decode(answer.text)
    #expect(answer.status == 200 && document["room"]?.string == "demo" && document["key"]?.string == String(key))
    #expect(member("username", document).hasSuffix(":demo-demo"))
    var session = try server.session(
      member("username", document), member("credential", document))
    try session.allocate()
    #expect(try admin.ask("GET", "/demo").text.contains("<title>Turnpike demo</title>"))
    #expect(try admin.ask("GET", "/demo/access", headers: ["Authorization: Room demo.\(key)x"]).status == 403)
  }

  @Test("With a token only the token and links open rooms; the credentials work beside configured users")
  func token() throws {
    let server = try start(1, ["admin.token=secret"], users: true)
    var admin = AdminClient(port: PortBlock.demo[1] + 2, of: server)
    #expect(try admin.ask("GET", "/demo/access?room=kitchen").status == 401)
    admin.token = "secret"
    let document = try admin.document("/demo/access?room=kitchen")
    let key = document["key"]?.string ?? ""
    var session = try server.session(
      member("username", document), member("credential", document))
    try session.allocate()
    admin.token = ""
    let guest = try admin.ask("GET", "/api/v1/sessions", headers: ["Authorization: Room kitchen.\(key)"])
    #expect(guest.status == 401)
  }

  @Test("Only with admin.demo there is a page", arguments: [true, false])
  func page(isOn: Bool) throws {
    let port = PortBlock.demo[2]
    let settings = ["admin.listen=127.0.0.1:\(port + 2)"] + (isOn ? ["admin.demo=true"] : [])
    let server = try RunningServer(port: port, settings)
    #expect(try AdminClient(port: port + 2, of: server).ask("GET", "/demo").status == (isOn ? 200 : 404))
    #expect(isOn || !server.logged("/demo"))
  }
}
