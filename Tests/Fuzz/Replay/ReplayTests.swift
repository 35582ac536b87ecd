import Foundation
import TestSupport
import Testing

@Suite("Fuzz corpora")
struct ReplayTests {
  @Test(
    "Every file of the corpora and every past finding is handled",
    arguments: FuzzTarget.allCases)
  func replay(target: FuzzTarget) throws {
    let folder = Paths.repository("Tests/Fuzz/Corpora/\(target.rawValue)")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    #expect(names.count >= 5)
    for name in names {
      let bytes = try [UInt8](Data(contentsOf: URL(filePath: "\(folder)/\(name)")))
      #expect(target.problem(with: bytes) == nil, "\(name)")
    }
  }
}
