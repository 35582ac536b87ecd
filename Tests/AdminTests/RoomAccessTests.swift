internal import Rooms
internal import Testing
internal import WebServer

@testable internal import Admin

@Suite("Access to the demo page")
struct RoomAccessTests {
  private let server = FakeServer()
  private let keys = RoomKeys(secret: [UInt8](repeating: 3, count: 32))

  private func router(token: String = "secret", hasDemo: Bool = true) -> Router {
    Router(token: token, rooms: hasDemo ? keys : nil, server: server)
  }

  private func ask(_ router: Router, _ authorization: String?, room: String? = nil) -> HTTPResponse {
    var asked = request(.get, "/demo/access", host: "turn.example.org")
    asked.authorization = authorization
    asked.query = room.map { [.init("room", $0)] } ?? []
    return router.answer(asked)
  }

  @Test(
    "Without admin.demo each path gives 404, and the answer says why",
    arguments: ["/demo", "/demo/demo.js", "/demo/access"])
  func off(path: String) {
    let answer = router(hasDemo: false).answer(request(.get, path, token: "secret"))
    #expect(answer.status == 404 && String(decoding: answer.body, as: UTF8.self).contains("set admin.demo to true"))
    #expect(server.calls.isEmpty)
  }

  @Test("The token makes any room; a guest gets only the room of the key")
  func access() {
    let made = ask(router(), "Bearer secret", room: "kitchen")
    let key = keys.key(of: "kitchen")
    #expect(made.status == 200 && made.header("Cache-Control") == "no-store")
    #expect(String(decoding: made.body, as: UTF8.self).contains("\"room\":\"kitchen\",\"key\":\"\(key)\""))
    let guest = ask(router(), "Room kitchen.\(key)", room: "hall")
    #expect(String(decoding: guest.body, as: UTF8.self).contains("\"room\":\"kitchen\",\"key\":\"\(key)\""))
    #expect(server.calls == ["demo kitchen", "demo kitchen"])
  }

  @Test(
    "Wrong keys and tokens are refused",
    arguments: [
      (nil, 401), ("Bearer wrong", 401), ("Room kitchen.AAAA", 403), ("Room kitchen", 403), ("Room ", 403),
    ] as [(String?, UInt32)])
  func refused(authorization: String?, status: UInt32) {
    #expect(ask(router(), authorization, room: "kitchen").status == status)
    #expect(server.calls.isEmpty)
  }

  @Test("A room's key opens nothing but the demo page")
  func elsewhere() {
    for route in Route.all where route.access != .open {
      var asked = request(route.method, route.path)
      asked.authorization = "Room kitchen.\(keys.key(of: "kitchen"))"
      #expect(router().answer(asked).status == 401, "\(route.path)")
    }
  }

  @Test("A room's name has letters, digits, hyphens and underscores", arguments: ["", "a b", "a.b", "ü"])
  func names(room: String) {
    #expect(ask(router(), "Bearer secret", room: room).status == 400)
  }

  @Test(
    "A WebSocket needs the Origin of the page's own host",
    arguments: [
      ("turn.example.org:8478", "https://turn.example.org:8478", "secret", true),
      ("turn.example.org:8478", "https://elsewhere.example.org", "secret", false),
      ("turn.example.org:8478", nil, "secret", false), ("turn.example.org:8478", "null", "secret", false),
      ("127.0.0.1:8478", "http://127.0.0.1:8478", "", true),
      // DNS rebinding.
      ("evil.example.org:8478", "http://evil.example.org:8478", "", false),
    ] as [(String, String?, String, Bool)])
  func origin(host: String, origin: String?, token: String, isAccepted: Bool) {
    var asked = request(.get, RoomDoor.path, host: host)
    asked.origin = origin
    let door = RoomDoor(keys, router(token: token))
    #expect((door.refusal(of: asked) == nil) == isAccepted)
    asked.path = "/elsewhere"
    #expect(door.refusal(of: asked)?.status == 404)
  }
}
