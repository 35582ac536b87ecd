internal import CStringPrep

/// SASLprep (RFC 4013, over libidn), which prepares names, realms and passwords for the keys of RFC 5389.
public enum SASLprep {
  /// Prepares a text; printable ASCII stays unchanged.
  ///
  /// Code points that Unicode 3.2 does not have stay unchanged (a "query" in RFC 3454). Clients do the same, and a
  /// refusal would forbid every newer script.
  public static func prepare(_ bytes: [UInt8]) throws(PreparationError) -> [UInt8] {
    guard !bytes.isEmpty else { throw .empty }
    if isPrintableASCII(bytes) { return bytes }
    guard bytes.count <= PreparationError.longest else { throw .tooLong }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .notUTF8 }
    // NUL is a forbidden control character (RFC 3454 table C.2.1), and would end the C string.
    guard !bytes.contains(0) else { throw .forbidden(0) }
    let (code, prepared) = run(text)
    switch Stringprep_rc(UInt32(bitPattern: code)) {
    case STRINGPREP_OK:
      guard !prepared.isEmpty else { throw .empty }
      return prepared
    case STRINGPREP_CONTAINS_PROHIBITED: throw .forbiddenCharacter
    case STRINGPREP_BIDI_BOTH_L_AND_RAL, STRINGPREP_BIDI_LEADTRAIL_NOT_RAL, STRINGPREP_BIDI_CONTAINS_PROHIBITED:
      throw .mixedDirections
    default: throw .unavailable
    }
  }

  private static func run(_ text: String) -> (Int32, [UInt8]) {
    var output: UnsafeMutablePointer<CChar>?
    let code = unsafe stringprep_profile(text, &output, "SASLprep", Stringprep_profile_flags(0))
    guard let result = unsafe output else { return (code, []) }
    defer { unsafe free(result) }
    // Sound: on success libidn returns a terminated string that it allocated.
    return unsafe (code, Array(String(cString: result).utf8))
  }
}
