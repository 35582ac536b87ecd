internal import TURN

extension CapturedMessage {
  /// Whether it is as long as its header says.
  var isWhole: Bool { bytes.count >= 20 && Int(bytes[2]) << 8 | Int(bytes[3]) == bytes.count - 20 }
}
