import Foundation
import NetIO
import NetworkTypes
import Synchronization
import System
import WebServer

/// A server on a free port of the loopback address, with a thread of its own. It ends with this value.
final class TestServer {
  let http: HTTPServer
  private let thread: System.Thread
  var port: UInt16 { http.port }

  init(_ change: (inout HTTPServer.Options) -> Void = { _ in }, handler: @escaping HTTPServer.Handler) throws {
    var options = HTTPServer.Options(.address("127.0.0.1", port: 0))
    change(&options)
    let http = try HTTPServer(options, handler: handler)
    self.http = http
    thread = try System.Thread(name: "http") { http.run() }
  }

  deinit {
    http.stop()
    thread.join()
  }

  func connect(from address: IPAddress? = nil) throws -> Connection { try Connection(port: port, from: address) }
}

/// A client's connection, byte by byte. Its calls wait for at most five seconds.
final class Connection {
  private let socket: Holder
  private var input: [UInt8] = []

  private final class Holder {
    var value: ClientSocket?

    init(_ value: consuming ClientSocket) { self.value = consume value }
  }

  struct Failure: Error { var what: String }

  init(port: UInt16, from address: IPAddress? = nil) throws {
    let socket = try ClientSocket.tcp(
      to: SocketAddress(.ipv4Loopback, port: port), from: address.map { SocketAddress($0, port: 0) })
    guard Readiness.wait(for: socket.rawValue, writing: true, until: Self.deadline), socket.takePendingError() == nil
    else { throw Failure(what: "no connection") }
    self.socket = Holder(socket)
  }

  private static var deadline: Instant { Instant.read().advanced(by: .seconds(5)) }

  private var descriptor: Int32 { socket.value?.rawValue ?? -1 }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) throws {
    var offset = 0
    while offset < bytes.count {
      guard Readiness.wait(for: descriptor, writing: true, until: Self.deadline) else {
        throw Failure(what: "no room to write")
      }
      offset += try socket.value?.send(bytes.span.rawBytes.extracting(offset..<bytes.count)) ?? 0
    }
  }

  func close() { socket.value = nil }

  /// Reads once; false at the end of the stream or after a reset.
  private func receiveSome(seconds: UInt32 = 5) throws -> Bool {
    guard Readiness.wait(for: descriptor, until: Instant.read().advanced(by: .seconds(seconds))) else {
      throw Failure(what: "nothing came after \(String(decoding: input, as: UTF8.self).debugDescription)")
    }
    var buffer = [UInt8](repeating: 0, count: 65_536)
    var elements = buffer.mutableSpan
    var room = unsafe elements.mutableBytes
    guard case .bytes(let count)? = socket.value?.receive(into: &room, isStream: true), count > 0 else { return false }
    input += buffer[..<count]
    return true
  }

  /// The next bytes.
  func take(_ count: Int) throws -> [UInt8] {
    while input.count < count {
      guard try receiveSome() else { throw Failure(what: "ended after \(input.count) of \(count) bytes") }
    }
    defer { input.removeFirst(count) }
    return Array(input[..<count])
  }

  /// Whether bytes, or the end, come within this time.
  func hears(milliseconds: UInt32) -> Bool {
    !input.isEmpty || Readiness.wait(for: descriptor, until: Instant.read().advanced(by: .milliseconds(milliseconds)))
  }

  /// Whether the server ends the connection; what it sends before is dropped.
  func ends(seconds: UInt32 = 5) -> Bool {
    do {
      while try receiveSome(seconds: seconds) {}
      return true
    } catch { return false }
  }

  struct Answer {
    var status: Int
    var headers: [String: String]
    var body: String
  }

  /// The next answer on this connection.
  func answer(toHead isHead: Bool = false) throws -> Answer {
    let mark = Array("\r\n\r\n".utf8)
    while input.firstRange(of: mark) == nil {
      guard try receiveSome() else { throw Failure(what: "the connection has ended") }
    }
    guard let end = input.firstRange(of: mark) else { throw Failure(what: "no headers") }
    let lines = String(decoding: input[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
    input.removeFirst(end.upperBound)
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces) }
    }
    let count = isHead ? 0 : headers["content-length"].flatMap { Int($0) } ?? 0
    while input.count < count {
      guard try receiveSome() else { throw Failure(what: "ended after \(input.count) of \(count) bytes") }
    }
    defer { input.removeFirst(count) }
    let status = lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return Answer(status: status, headers: headers, body: String(decoding: input[..<count], as: UTF8.self))
  }
}
