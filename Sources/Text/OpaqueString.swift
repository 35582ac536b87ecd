internal import CStringPrep

/// The OpaqueString profile (RFC 8265 section 4.2, over libunistring): how RFC 8489 prepares names, realms and
/// passwords before they become keys.
public enum OpaqueString {
  /// The prepared text: only characters of the FreeformClass, other spaces become U+0020, normal form C. Printable
  /// ASCII comes back as it is.
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
    // Composition can bring forth a character that its neighbours don't allow (U+0387 becomes U+00B7).
    let result = String(decoding: composed, as: UTF8.self)
    if let wrong = FreeformClass.firstForbidden(Array(result.unicodeScalars)) { throw .forbidden(wrong.value) }
    return composed
  }

  /// Normal form C, or KC; nil where the library runs out of memory.
  static func normalized(_ text: [UInt8], compatibly: Bool) -> [UInt8]? {
    var count = 0
    let result =
      compatibly
      ? unsafe cstringprep_nfkc(text, text.count, &count) : unsafe cstringprep_nfc(text, text.count, &count)
    guard let result = unsafe result else { return nil }
    defer { unsafe free(result) }
    // Sound: the library allocated `count` bytes and gives them away.
    return unsafe Array(UnsafeBufferPointer(start: result, count: count))
  }
}
