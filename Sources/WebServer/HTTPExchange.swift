/// One request and its response.
struct HTTPExchange {
  var id: HTTPServer.ExchangeID
  var request: HTTPRequest
  /// The time of libwebsockets' clock at which the whole body must have arrived.
  let bodyEnd: Duration
  /// Whether the handler has got the request, or the server has answered with an error itself.
  var isDispatched = false
  var response: HTTPResponse?
  var hasHeaders = false
  /// The number of bytes of the body that are written.
  var offset = 0

  init(id: HTTPServer.ExchangeID, request: HTTPRequest, bodyEnd: Duration) {
    self.id = id
    self.request = request
    self.bodyEnd = bodyEnd
  }
}
