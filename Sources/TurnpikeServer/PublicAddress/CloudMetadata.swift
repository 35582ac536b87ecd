internal import NetworkTypes
internal import System
internal import WebClient

/// Asks the metadata service of the cloud for the machine's public IPv4 address. The service has the same link-local
/// address in each cloud, but another path.
struct CloudMetadata {
  private typealias NoAnswer = PublicAddressSearch.NoAnswer

  /// A cloud's document: plain text with one address.
  struct Document: Sendable {
    var cloud: String
    var path: String
    var headers: [String] = []
  }

  /// A link-local address: no router of the Internet forwards a request. No name is looked up, no redirect followed.
  private static let service = "http://169.254.169.254"
  private static let tokenPath = "/latest/api/token"
  /// The service is in the same data centre; on a host without it the start waits for this long.
  private static let connectTimeout = Duration.milliseconds(500)

  /// The documents to try if Amazon's service gives no token. OpenStack and others have Amazon's path without token.
  static let documents = [
    Document(
      cloud: "gcp", path: "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip",
      headers: ["Metadata-Flavor: Google"]),
    Document(
      cloud: "azure",
      path:
        "/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress?api-version=2021-02-01&format=text",
      headers: ["Metadata: true"]),
    Document(cloud: "hetzner", path: "/hetzner/v1/metadata/public-ipv4"),
    Document(cloud: "digitalocean", path: "/metadata/v1/reserved_ip/ipv4/ip_address"),
    Document(cloud: "digitalocean", path: "/metadata/v1/interfaces/public/0/ipv4/address"),
    Document(cloud: "ec2", path: "/latest/meta-data/public-ipv4"),
  ]

  private let client: HTTPClient
  private let deadline: Instant

  init(_ client: HTTPClient, until deadline: Instant) {
    self.client = client
    self.deadline = deadline
  }

  /// The public address in the first document that has one.
  func ask() throws(PublicAddressSearch.NoAnswer) -> (address: IPAddress, cloud: String) {
    var documents = Self.documents
    if let token = try askForToken() {
      documents = [
        Document(
          cloud: "aws", path: "/latest/meta-data/public-ipv4", headers: ["X-aws-ec2-metadata-token: \(token)"])
      ]
    }
    var reason = "the metadata service has no document of a known cloud"
    for document in documents {
      guard let answer = try send("GET", document.path, document.headers, limit: MetadataAnswer.addressLimit),
        answer.status == 200
      else { continue }
      do throws(MetadataAnswer.Problem) {
        if let address = try MetadataAnswer.address(in: answer.body) { return (address, document.cloud) }
        reason = "\(document.cloud): the machine has no public address"
      } catch {
        reason = "\(document.cloud): \(error.text)"
      }
    }
    if documents.count == 1, reason.hasPrefix("the metadata") { reason = "aws: the machine has no public address" }
    throw NoAnswer(reason)
  }

  private func askForToken() throws(PublicAddressSearch.NoAnswer) -> String? {
    let headers = ["X-aws-ec2-metadata-token-ttl-seconds: 60"]
    guard let answer = try send("PUT", Self.tokenPath, headers, limit: MetadataAnswer.tokenLimit),
      answer.status == 200
    else { return nil }
    return MetadataAnswer.token(in: answer.body)
  }

  /// Sends a request; nil if the document is too long or broken, and another one may have the address.
  private func send(
    _ method: String, _ path: String, _ headers: [String], limit: Int
  ) throws(PublicAddressSearch.NoAnswer) -> HTTPClient.Answer? {
    let left = deadline.duration(since: .read())
    guard left > .milliseconds(1) else { throw NoAnswer("the metadata service is too slow") }
    var request = HTTPClient.Request(url: Self.service + path)
    request.method = method
    request.headers = headers + ["User-Agent: turnpike"]
    request.connectTimeout = min(Self.connectTimeout, left)
    request.timeout = left
    request.answerLimit = limit
    do throws(HTTPClient.Failure) {
      return try client.send(request)
    } catch {
      guard error.isSilence else { return nil }
      throw NoAnswer("nothing answers at 169.254.169.254 (\(error.description))")
    }
  }
}
