internal import COpenSSL

/// Base64 (RFC 4648 section 4) over OpenSSL.
public enum Base64 {
  public static func encode(_ bytes: [UInt8]) -> String {
    var output = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
    let length = unsafe EVP_EncodeBlock(&output, bytes, Int32(clamping: bytes.count))
    return String(decoding: output.prefix(Int(max(length, 0))), as: UTF8.self)
  }

  /// The bytes, or nil if the text is not Base64 with its padding.
  public static func decode(_ text: String) -> [UInt8]? {
    let input = Array(text.utf8)
    guard input.count % 4 == 0 else { return nil }
    if input.isEmpty { return [] }
    var output = [UInt8](repeating: 0, count: input.count / 4 * 3)
    let length = unsafe EVP_DecodeBlock(&output, input, Int32(clamping: input.count))
    guard length >= 0 else { return nil }
    // OpenSSL decodes the padding to zero bytes.
    let padding = input.suffix(2).count { $0 == UInt8(ascii: "=") }
    return Array(output.prefix(max(Int(length) - padding, 0)))
  }
}
