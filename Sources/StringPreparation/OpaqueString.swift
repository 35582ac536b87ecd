internal import CStringPrep

/// The OpaqueString profile (RFC 8265 section 4.2, over libunistring), which prepares names, realms and passwords for
/// the keys of RFC 8489.
public enum OpaqueString {
  /// Prepares a text: it allows characters of the FreeformClass only, replaces other spaces by U+0020 and applies
  /// normal form C. Printable ASCII stays unchanged.
  public static func prepare(_ bytes: [UInt8]) throws(PreparationError) -> [UInt8] {
    guard !bytes.isEmpty else { throw .empty }
    if isPrintableASCII(bytes) { return bytes }
    guard bytes.count <= PreparationError.longest else { throw .tooLong }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .notUTF8 }
    let scalars = Array(text.unicodeScalars)
    if let wrong = FreeformClass.firstForbidden(scalars) { throw .forbidden(wrong.value) }
    var mapped = String.UnicodeScalarView()
    for scalar in scalars { mapped.append(FreeformClass.isSpace(scalar) ? " " : scalar) }
    guard let composed = normalized(Array(String(mapped).utf8), compatibly: false) else { throw .unavailable }
    // Composition can produce a character that its neighbours do not allow (U+0387 becomes U+00B7).
    let result = String(decoding: composed, as: UTF8.self)
    if let wrong = FreeformClass.firstForbidden(Array(result.unicodeScalars)) { throw .forbidden(wrong.value) }
    return composed
  }

  /// Normal form C, or KC; nil if libunistring has no memory.
  static func normalized(_ text: [UInt8], compatibly: Bool) -> [UInt8]? {
    var count = 0
    let result =
      compatibly
      ? unsafe cstringprep_nfkc(text, text.count, &count) : unsafe cstringprep_nfc(text, text.count, &count)
    guard let result = unsafe result else { return nil }
    defer { unsafe free(result) }
    // Sound: libunistring allocated `count` bytes and transfers their ownership.
    return unsafe Array(UnsafeBufferPointer(start: result, count: count))
  }
}
