internal import CLinux
internal import System

/// The mapped memory of both queues, in the kernel's layout.
@safe
struct IORingMapping: ~Copyable {
  private let rings: UnsafeMutableRawPointer
  private let ringsByteCount: Int
  private let submissionsByteCount: Int

  let submissions: UnsafeMutablePointer<io_uring_sqe>
  let submissionTail: UnsafeMutablePointer<UInt32>
  let submissionMask: UInt32
  let submissionCount: UInt32
  let completions: UnsafeMutablePointer<io_uring_cqe>
  let completionHead: UnsafeMutablePointer<UInt32>
  let completionTail: UnsafeMutablePointer<UInt32>
  let completionMask: UInt32

  init(_ descriptor: Int32, _ parameters: io_uring_params) throws(Errno) {
    guard IORing.Features(rawValue: parameters.features).isSuperset(of: .needed) else { throw .invalidArgument }
    let submissionEnd = Int(parameters.sq_off.array) + Int(parameters.sq_entries) * MemoryLayout<UInt32>.size
    let completionEnd =
      Int(parameters.cq_off.cqes) + Int(parameters.cq_entries) * MemoryLayout<io_uring_cqe>.size
    let ringsByteCount = max(submissionEnd, completionEnd)
    let submissionsByteCount = Int(parameters.sq_entries) * MemoryLayout<io_uring_sqe>.size
    let flags = MAP_SHARED | MAP_POPULATE
    guard let rings = unsafe clinux_map(ringsByteCount, flags, descriptor, 0) else { throw Errno.current }
    guard let entries = unsafe clinux_map(submissionsByteCount, flags, descriptor, Self.submissionOffset) else {
      let error = Errno.current
      unsafe munmap(rings, ringsByteCount)
      throw error
    }
    unsafe self.rings = rings
    self.ringsByteCount = ringsByteCount
    self.submissionsByteCount = submissionsByteCount
    unsafe submissions = entries.assumingMemoryBound(to: io_uring_sqe.self)
    func word(_ offset: UInt32) -> UnsafeMutablePointer<UInt32> {
      unsafe (rings + Int(offset)).assumingMemoryBound(to: UInt32.self)
    }
    unsafe submissionTail = word(parameters.sq_off.tail)
    submissionMask = unsafe word(parameters.sq_off.ring_mask).pointee
    submissionCount = parameters.sq_entries
    unsafe completions = (rings + Int(parameters.cq_off.cqes)).assumingMemoryBound(to: io_uring_cqe.self)
    unsafe completionHead = word(parameters.cq_off.head)
    unsafe completionTail = word(parameters.cq_off.tail)
    completionMask = unsafe word(parameters.cq_off.ring_mask).pointee
    // The kernel reads submissions in the order of this array, which is always the order of the queue.
    let order = unsafe word(parameters.sq_off.array)
    for index in 0..<Int(parameters.sq_entries) { unsafe order[index] = UInt32(index) }
  }

  deinit {
    unsafe munmap(submissions, submissionsByteCount)
    unsafe munmap(rings, ringsByteCount)
  }

  private static let submissionOffset: off_t = 0x1000_0000
}
