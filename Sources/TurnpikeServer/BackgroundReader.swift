internal import Configuration
internal import Log
internal import Synchronization
internal import System
internal import TLS

/// Reads files for a running server on its own thread, which may block: the main thread reads signals and must not wait
/// for a hanging network drive.
///
/// The main thread has one request of each kind at a time, so the queue is bounded.
final class BackgroundReader: Sendable {
  enum Request: Sendable {
    /// The configuration, and its certificate.
    case configuration(running: Settings, CertificateSource)
    /// The certificate, changed or not.
    case certificate(CertificateSource)
    /// The certificate, if its files have changed since the last read.
    case changedCertificate(CertificateSource)
    case stop
  }

  enum Report: Sendable {
    /// Nil if the configuration is wrong, after its problems have been logged.
    case configuration(Configuration?)
    /// Nil if the certificate is unchanged.
    case certificate(ServerCertificates?)
    case certificateFailed(String)
  }

  private let requests: Mailbox<Request>
  let reports: Mailbox<Report>
  /// The current file, for the message when reading takes too long.
  private let current = Mutex("")
  private let reload: ServerHost.Reload

  init(reload: @escaping ServerHost.Reload) throws(Errno) {
    requests = try Mailbox(capacity: 4)
    reports = try Mailbox(capacity: 16)
    self.reload = reload
  }

  /// The file that the thread is reading; empty if none.
  var file: String { current.withLock { $0 } }

  func ask(_ request: Request) { requests.post(request) }

  /// The thread's body.
  ///
  /// - Parameter fingerprint: the fingerprint of the present certificate.
  func run(_ first: [UInt8]?) {
    let read: FileContent = { [self] path throws(FileError) in
      current.withLock { $0 = path }
      defer { current.withLock { $0 = "" } }
      return try Files.readRegular(path)
    }
    var fingerprint = first
    while true {
      requests.wait()
      for request in requests.takeAll() {
        switch request {
        case .stop:
          return
        case .configuration(let running, var source):
          let configuration = reload(running, read)
          if let configuration {
            source.settings = configuration.settings.merged(into: running).settings.tls
          }
          reports.post(.configuration(configuration))
          if configuration != nil {
            fingerprint = source.hasFiles ? source.fingerprint(read) : nil
            load(source, read)
          }
        case .certificate(let source):
          fingerprint = source.hasFiles ? source.fingerprint(read) : nil
          load(source, read)
        case .changedCertificate(let source):
          let now = source.fingerprint(read)
          if fingerprint == now {
            reports.post(.certificate(nil))
          } else {
            fingerprint = now
            load(source, read)
          }
        }
      }
    }
  }

  private func load(_ source: CertificateSource, _ read: FileContent) {
    do throws(CertificateError) {
      reports.post(.certificate(try source.load(read)))
    } catch {
      reports.post(.certificateFailed("\(error)"))
    }
  }
}
