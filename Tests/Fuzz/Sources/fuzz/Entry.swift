import FuzzTargets
import Foundation

/// The target that libFuzzer calls. `FUZZ_TARGET` names it.
private let target: FuzzTarget = {
  guard let name = ProcessInfo.processInfo.environment["FUZZ_TARGET"], let target = FuzzTarget(rawValue: name) else {
    fatalError("FUZZ_TARGET is none of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
  }
  return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  if let problem = target.problem(with: Array(UnsafeBufferPointer(start: bytes, count: count))) { fatalError(problem) }
  return 0
}
