internal import Configuration
internal import Hardening
internal import NetIO
internal import NetworkTypes
internal import System

/// The host's limits, clock and kernel.
extension Doctor {
  private static let plentyOfFiles: UInt64 = 65_536
  private static let fewFiles: UInt64 = 8192

  var descriptors: [Finding] {
    let files = FileLimit.raise()
    let remedy = "raise the hard limit: LimitNOFILE=1048576 in the unit, ulimits: nofile in a container"
    let text = "\(files) open files; each relay and each connection needs one"
    return [
      files >= Self.plentyOfFiles
        ? Finding("descriptors", .good, text)
        : Finding("descriptors", files < Self.fewFiles ? .failed : .warning, text, remedy: remedy)
    ]
  }

  var socketBuffers: [Finding] {
    let size = SocketBuffers.obtainable()
    let wanted = SocketBuffers.wanted.rawValue
    let text = "a listener's socket gets \(size.rawValue) bytes of \(wanted)"
    guard size < SocketBuffers.wanted else { return [Finding("socket-buffers", .good, text)] }
    return [
      Finding(
        "socket-buffers", .warning, text,
        remedy: "sysctl -w net.core.rmem_max=\(wanted) net.core.wmem_max=\(wanted)")
    ]
  }

  var clock: [Finding] { [Self.finding(ClockState.read())] }

  /// The finding about the clock: time-limited credentials, access tokens and certificates compare times of two hosts.
  static func finding(_ state: ClockState) -> Finding {
    switch state {
    case .synchronized(let error) where error <= .seconds(1):
      Finding("clock", .good, "synchronized, at most \(error.milliseconds) ms wrong")
    case .synchronized(let error):
      Finding(
        "clock", .warning, "synchronized, but up to \(error.milliseconds) ms wrong",
        remedy: "check the time servers: chronyc sources, timedatectl timesync-status")
    case .unsynchronized:
      Finding(
        "clock", .warning, "no time service corrects it: time-limited credentials may be refused",
        remedy: "run chrony or systemd-timesyncd on this host (a container has its host's clock)")
    case .unknown(let error):
      Finding(
        "clock", .warning, "the kernel does not report its state: \(error)",
        remedy: "check on the host that chrony or systemd-timesyncd runs")
    }
  }

  var kernel: [Finding] {
    var findings: [Finding] = []
    if settings.engine != .epoll {
      if let refusal = DataPlane.probeRing() {
        findings.append(
          Finding(
            "io_uring", settings.engine == .ioUring ? .failed : .warning, "refused (\(refusal)): epoll is used instead",
            remedy: Server.remedy(for: refusal) + "; or set engine: epoll"))
      } else {
        findings.append(Finding("io_uring", .good, "available"))
      }
    }
    let offload = UDPOffload.support()
    findings.append(
      offload.sends && offload.receives
        ? Finding("udp-offload", .good, "UDP_SEGMENT and UDP_GRO are available")
        : Finding(
          "udp-offload", .warning, "no \(offload.sends ? "UDP_GRO" : "UDP_SEGMENT"): media costs more system calls",
          remedy: "Linux 5.0 and newer has both"))
    findings.append(
      Self.protection(
        "seccomp", isWanted: settings.hardening.seccomp,
        isThere: Files.exists("/proc/sys/kernel/seccomp/actions_avail"),
        remedy: "use a kernel with CONFIG_SECCOMP_FILTER, or set hardening.seccomp: false"))
    findings.append(
      Self.protection(
        "landlock", isWanted: settings.hardening.landlock, isThere: FileFence.version > 0,
        remedy: "use a kernel with CONFIG_SECURITY_LANDLOCK and landlock in lsm=, or set hardening.landlock: false"))
    return findings + connectionTracking
  }

  private static func protection(_ name: String, isWanted: Bool, isThere: Bool, remedy: String) -> Finding {
    if isThere { return Finding(name, .good, isWanted ? "available" : "available, and switched off") }
    return isWanted ? Finding(name, .warning, "not in this kernel", remedy: remedy) : Finding(name, .good, "not wanted")
  }

  /// The limit of tracked flows: a relay port has a flow with each peer, and a full table drops packets of new flows.
  private var connectionTracking: [Finding] {
    let path = "/proc/sys/net/netfilter/nf_conntrack_max"
    guard let bytes = try? Files.read(path),
      let limit = UInt64(decimalDigits: String(decoding: bytes, as: UTF8.self).filter(\.isNumber))
    else { return [] }
    let text = "the firewall tracks up to \(limit) flows"
    guard limit < 262_144 else { return [Finding("connection-tracking", .good, text)] }
    return [
      Finding(
        "connection-tracking", .warning, text + "; each relay needs several",
        remedy: "sysctl -w net.netfilter.nf_conntrack_max=1048576, or do not track the relay's ports (notrack)")
    ]
  }
}
