internal import NetworkTypes
internal import Rooms
internal import Synchronization
internal import System
internal import WebServer

/// The WebSocket of the demo page: passes the events of the sockets to the rooms, with the time.
final class RoomDoor: WebSocketHandler {
  /// The path of the WebSocket.
  static let path = "/demo/socket"

  private let rooms: Mutex<Rooms>
  private let router: Router

  init(_ keys: RoomKeys, limits: RoomLimits = RoomLimits(), _ router: Router) {
    rooms = Mutex(Rooms(limits: limits, keys: keys))
    self.router = router
  }

  func refusal(of request: HTTPRequest) -> HTTPResponse? {
    guard request.path == Self.path else { return HTTPResponse(404, text: "the WebSocket is at \(Self.path)").hardened }
    return router.refusalOfSocket(request)
  }

  func opened(_ socket: UInt64) -> [WebSocketAction] { act { $0.opened(socket, now: .read()) } }

  func received(_ text: [UInt8], on socket: UInt64) -> [WebSocketAction] {
    act { $0.received(text, from: socket, now: .read()) }
  }

  func closed(_ socket: UInt64) -> [WebSocketAction] { act { $0.closed(socket) } }

  func check(_ socket: UInt64) -> [WebSocketAction] { act { $0.check(socket, now: .read()) } }

  private func act(_ input: (inout Rooms) -> [Rooms.Action]) -> [WebSocketAction] {
    rooms.withLock { input(&$0) }.map { action in
      switch action {
      case .send(let id, let text): .send(id, text)
      case .admit(let id): .admit(id)
      case .close(let id, let closing): .close(id, code: closing.rawValue)
      }
    }
  }
}
