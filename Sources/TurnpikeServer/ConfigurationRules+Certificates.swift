internal import Configuration
internal import NetworkTypes
internal import System
internal import TLS

/// The rules for the files of `tls.…`.
extension ConfigurationRules {
  static func certificateProblems(_ settings: Settings.TLSSection, read: FileContent) -> [ConfigurationProblem] {
    let named =
      [
        ("tls.certificate", settings.certificate), ("tls.private-key", settings.privateKey),
        ("tls.client-ca", settings.clientCA),
      ]
      + settings.certificates.flatMap { [("tls.certificates", $0.certificate), ("tls.certificates", $0.privateKey)] }
    let unreadable: [ConfigurationProblem] = named.compactMap { key, path in
      guard !path.isEmpty else { return nil }
      do throws(FileError) {
        _ = try read(path)
        return nil
      } catch {
        return ConfigurationProblem(
          key: key, "cannot read \(path.debugDescription): \(Files.reason(error, of: path))",
          suggestion: "name a PEM file that this user may read")
      }
    }
    guard unreadable.isEmpty else { return unreadable }
    return pairProblems(settings, read: read) + authorityProblems(settings.clientCA, read: read)
  }

  private static func pairProblems(_ settings: Settings.TLSSection, read: FileContent) -> [ConfigurationProblem] {
    var pairs = settings.certificates.map { (pair: $0, key: "tls.certificates", ofKey: "tls.certificates") }
    if !settings.certificate.isEmpty, !settings.privateKey.isEmpty {
      let standard = Settings.CertificatePair(certificate: settings.certificate, privateKey: settings.privateKey)
      pairs.insert((standard, "tls.certificate", "tls.private-key"), at: 0)
    }
    var problems: [ConfigurationProblem] = []
    for (pair, key, ofKey) in pairs {
      do throws(CertificateError) {
        let files = try CertificateSource.pair(pair.certificate, pair.privateKey, read)
        // OpenSSL refuses too small keys only when a context is made.
        _ = try TLSContext(server: files)
        if key == "tls.certificates", files.leaf.dnsNames.isEmpty {
          problems.append(
            ConfigurationProblem(
              .warning, key: key, "\(pair.certificate): has no DNS name, so no client gets it",
              suggestion: "leave it out, or name a certificate with a DNS name"))
        }
        guard let remark = CertificateRemark(files, now: Now.read().wall) else { continue }
        problems.append(ConfigurationProblem(.warning, key: key, remark.text, suggestion: "renew it"))
      } catch {
        let isOfKey = error.file == pair.privateKey && error.file != pair.certificate
        problems.append(
          ConfigurationProblem(
            key: isOfKey ? ofKey : key, "\(error)",
            suggestion: "name a PEM chain and the unencrypted key of its first certificate"))
      }
    }
    return problems
  }

  private static func authorityProblems(_ path: String, read: FileContent) -> [ConfigurationProblem] {
    guard !path.isEmpty, let content = try? read(path) else { return [] }
    do throws(CertificateError) {
      _ = try TLSContext(client: .authorities(.bytes(content, name: path)))
      return []
    } catch {
      return [
        ConfigurationProblem(
          key: "tls.client-ca", "\(error)", suggestion: "name a PEM file with the certificates of your authorities")
      ]
    }
  }
}
