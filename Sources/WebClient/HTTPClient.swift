internal import CCurl

/// A blocking HTTP client over libcurl, for one thread at a time. It keeps its connection between requests.
///
/// No redirect is followed, only http and https are spoken, and the size of an answer and all waits are bounded.
@safe
public final class HTTPClient {
  private let handle: UnsafeMutableRawPointer

  /// Nil if there is no memory.
  public init?() {
    guard let handle = unsafe curl_easy_init() else { return nil }
    unsafe self.handle = handle
  }

  deinit { unsafe curl_easy_cleanup(handle) }

  /// A request, with all limits.
  public struct Request: Sendable {
    /// The method of the request.
    public var method = "GET"
    /// The URL, with http or https.
    public var url: String
    /// The path of a Unix socket in place of the URL's host; nil: the host.
    public var unixSocket: String?
    /// Whole header lines: `Content-Type: application/json`.
    public var headers: [String] = []
    /// The body; nil: none.
    public var body: [UInt8]?
    /// The longest time until the connection is established.
    public var connectTimeout = Duration.seconds(3)
    /// The longest time for the whole exchange.
    public var timeout = Duration.seconds(10)
    /// Limit of the answer's body in bytes.
    public var answerLimit = 1_048_576
    /// The path of PEM authorities; nil: those of the system.
    public var authorities: String?
    /// The address for the connection in place of the URL's host and port: `192.0.2.1:8478`; nil: those of the URL.
    public var connectsTo: String?
    /// Whether the certificate must have the URL's host; false only if `authorities` is this certificate alone.
    public var checksName = true

    public init(url: String) { self.url = url }
  }

  /// A server's answer.
  public struct Answer: Sendable {
    /// The status code.
    public var status: Int
    /// The whole body.
    public var body: [UInt8]
  }

  /// The exchange failed.
  public struct Failure: Error, CustomStringConvertible {
    public var description: String
    /// Whether no server answered in time; false: a server's answer was wrong.
    public var isSilence = false
  }

  /// Sends a request and waits for its answer.
  public func send(_ request: Request) throws(Failure) -> Answer {
    unsafe curl_easy_reset(handle)
    unsafe ccurl_set_text(handle, CURLOPT_URL, request.url)
    unsafe ccurl_set_text(handle, CURLOPT_CUSTOMREQUEST, request.method)
    unsafe ccurl_set_text(handle, CURLOPT_PROTOCOLS_STR, "http,https")
    unsafe ccurl_set_number(handle, CURLOPT_FOLLOWLOCATION, 0)
    unsafe ccurl_set_number(handle, CURLOPT_NOSIGNAL, 1)
    unsafe ccurl_set_number(handle, CURLOPT_CONNECTTIMEOUT_MS, Self.milliseconds(request.connectTimeout))
    unsafe ccurl_set_number(handle, CURLOPT_TIMEOUT_MS, Self.milliseconds(request.timeout))
    unsafe ccurl_set_text(handle, CURLOPT_UNIX_SOCKET_PATH, request.unixSocket)
    // A proxy from the environment would see the secrets of a request to this host.
    unsafe ccurl_set_text(handle, CURLOPT_NOPROXY, "*")
    if let authorities = request.authorities { unsafe ccurl_set_text(handle, CURLOPT_CAINFO, authorities) }
    unsafe ccurl_set_number(handle, CURLOPT_SSL_VERIFYHOST, request.checksName ? 2 : 0)
    var list: UnsafeMutablePointer<curl_slist>?
    for header in request.headers { unsafe list = curl_slist_append(list, header) }
    defer { unsafe curl_slist_free_all(list) }
    unsafe ccurl_set_pointer(handle, CURLOPT_HTTPHEADER, list)
    var route: UnsafeMutablePointer<curl_slist>?
    // The two empty parts stand for any host and port.
    if let target = request.connectsTo { unsafe route = curl_slist_append(nil, "::\(target)") }
    defer { unsafe curl_slist_free_all(route) }
    unsafe ccurl_set_pointer(handle, CURLOPT_CONNECT_TO, route)
    let sink = Sink(limit: request.answerLimit)
    unsafe ccurl_set_pointer(handle, CURLOPT_WRITEDATA, Unmanaged.passUnretained(sink).toOpaque())
    unsafe ccurl_set_writer(handle, Self.write)
    let code = perform(request.body)
    // libcurl must not keep the pointer to `sink`, which ends here.
    unsafe ccurl_set_pointer(handle, CURLOPT_WRITEDATA, nil)
    guard !sink.isFull else { throw Failure(description: "the answer has more than \(request.answerLimit) bytes") }
    guard code == CURLE_OK else {
      throw Failure(
        description: unsafe String(cString: curl_easy_strerror(code)),
        isSilence: code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT)
    }
    return Answer(status: unsafe ccurl_status(handle), body: sink.bytes)
  }

  private func perform(_ body: [UInt8]?) -> CURLcode {
    guard let body else { return unsafe curl_easy_perform(handle) }
    unsafe ccurl_set_number(handle, CURLOPT_POSTFIELDSIZE, body.count)
    // The bytes are valid until the transfer has ended.
    return unsafe (body + [0]).withUnsafeBufferPointer { buffer in
      unsafe ccurl_set_pointer(handle, CURLOPT_POSTFIELDS, UnsafeMutableRawPointer(mutating: buffer.baseAddress))
      return unsafe curl_easy_perform(handle)
    }
  }

  /// Collects the answer's body.
  private final class Sink {
    var bytes: [UInt8] = []
    let limit: Int
    var isFull = false

    init(limit: Int) { self.limit = limit }
  }

  private static let write: ccurl_writer = { start, size, count, user in
    guard let user = unsafe user else { return 0 }
    let sink = unsafe Unmanaged<Sink>.fromOpaque(user).takeUnretainedValue()
    let total = size * count
    guard sink.bytes.count + total <= sink.limit else {
      sink.isFull = true
      return 0
    }
    unsafe sink.bytes.append(contentsOf: UnsafeRawBufferPointer(start: start, count: total))
    return total
  }

  private static func milliseconds(_ duration: Duration) -> Int {
    Int(duration.components.seconds) * 1000 + Int(duration.components.attoseconds / 1_000_000_000_000_000)
  }
}
