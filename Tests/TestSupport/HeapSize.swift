internal import CLinux

/// The bytes of the C heap that are in use, by all threads.
public func heapByteCount() -> Int {
  let info = mallinfo2()
  return info.uordblks + info.hblkhd
}
