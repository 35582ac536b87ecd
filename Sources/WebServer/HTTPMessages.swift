/// A request, as the server gives it to its handler. Names follow RFC 9110.
public struct HTTPRequest: Sendable, Equatable {
  /// The methods that the server supports.
  public enum Method: String, Sendable, CaseIterable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
    case options = "OPTIONS"
  }

  /// The method of the request.
  public var method: Method
  /// The path, decoded, without the query.
  public var path: String
  /// The query's parameters, at most 16.
  public var query: [HTTPField] = []
  /// The Authorization field; nil without one, as for the following fields.
  public var authorization: String?
  /// The Host field.
  public var host: String?
  /// The Origin field (RFC 6454).
  public var origin: String?
  /// The Content-Type field.
  public var contentType: String?
  /// The Accept field.
  public var accept: String?
  /// The whole body.
  public var body: [UInt8] = []
  /// The client's IP address; empty on a Unix socket.
  public var peer = ""

  public init(_ method: Method, _ path: String) {
    self.method = method
    self.path = path
  }

  /// The value of a parameter's first occurrence.
  public subscript(parameter name: String) -> String? { query.first { $0.name == name }?.value }
}

/// The answer to a request.
public struct HTTPResponse: Sendable, Equatable {
  /// The status code.
  public var status: UInt32
  /// The value of Content-Type.
  public var contentType: String
  /// Further header fields.
  public var headers: [HTTPField] = []
  /// The whole body.
  public var body: [UInt8]
  /// Whether the request was admitted as an operator's, so that its connection counts no more for `Options.memory`. A
  /// request that is refused must not set it: the charge would show that its token is right.
  public var isForOperator = false

  public init(_ status: UInt32, _ contentType: String = "text/plain; charset=utf-8", _ body: [UInt8]) {
    self.status = status
    self.contentType = contentType
    self.body = body
  }

  /// Plain text, with a newline at its end.
  public init(_ status: UInt32, text: String) {
    self.init(status, "text/plain; charset=utf-8", Array((text + "\n").utf8))
  }
}

/// A header field, or a parameter of a query, decoded.
public struct HTTPField: Sendable, Equatable {
  public var name: String
  public var value: String

  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}
