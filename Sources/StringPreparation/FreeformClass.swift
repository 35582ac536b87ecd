internal import CStringPrep

/// The FreeformClass (RFC 8264 section 4.3): the characters that a password may have. The Unicode version is
/// libunistring's.
enum FreeformClass {
  /// The first character that is not allowed at its position.
  static func firstForbidden(_ text: [Unicode.Scalar]) -> Unicode.Scalar? {
    text.indices.first { !isAllowed(at: $0, in: text) }.map { text[$0] }
  }

  /// Category Zs.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool { has(scalar, UC_CATEGORY_MASK_Zs) }

  /// The algorithm of RFC 8264 section 8, in its order.
  private static func isAllowed(at index: Int, in text: [Unicode.Scalar]) -> Bool {
    let scalar = text[index]
    if let exception = exceptions[scalar.value] { return exception }
    if let rule = contextRule(scalar) { return rule(index, text) }
    if has(scalar, UC_CATEGORY_MASK_Cn) { return false }
    if (0x21...0x7E).contains(scalar.value) { return true }
    if isOldHangulJamo(scalar) || uc_is_property_default_ignorable_code_point(scalar.value)
      || uc_is_property_not_a_character(scalar.value) || has(scalar, UC_CATEGORY_MASK_Cc)
    {
      return false
    }
    return allowedCategories.contains { has(scalar, $0) } || hasCompatibilityForm(scalar)
  }

  /// LetterDigits, OtherLetterDigits, Spaces, Symbols and Punctuation (RFC 8264 sections 9.1, 9.15 to 9.18).
  private static let allowedCategories = [
    UC_CATEGORY_MASK_L, UC_CATEGORY_MASK_M, UC_CATEGORY_MASK_N, UC_CATEGORY_MASK_Zs, UC_CATEGORY_MASK_S,
    UC_CATEGORY_MASK_P,
  ]

  /// RFC 8264 section 9.6: exceptions to the rules by property.
  private static let exceptions: [UInt32: Bool] = {
    var result: [UInt32: Bool] = [:]
    for value in [0xDF, 0x3C2, 0x6FD, 0x6FE, 0xF0B, 0x3007] as [UInt32] { result[value] = true }
    for value in [0x640, 0x7FA, 0x302E, 0x302F, 0x3031, 0x3032, 0x3033, 0x3034, 0x3035, 0x303B] as [UInt32] {
      result[value] = false
    }
    return result
  }()

  private static func isOldHangulJamo(_ scalar: Unicode.Scalar) -> Bool {
    (0x1100...0x11FF).contains(scalar.value) || (0xA960...0xA97C).contains(scalar.value)
      || (0xD7B0...0xD7FB).contains(scalar.value)
  }

  /// Whether normal form KC changes the character (RFC 8264 section 9.17).
  private static func hasCompatibilityForm(_ scalar: Unicode.Scalar) -> Bool {
    let bytes = Array(String(scalar).utf8)
    return OpaqueString.normalized(bytes, compatibly: true) != bytes
  }

  private static func has(_ scalar: Unicode.Scalar, _ mask: Int) -> Bool {
    uc_is_general_category_withtable(scalar.value, UInt32(mask))
  }
}

// MARK: - Characters that depend on their neighbours (RFC 5892 appendix A)

extension FreeformClass {
  private static func contextRule(_ scalar: Unicode.Scalar) -> ((Int, [Unicode.Scalar]) -> Bool)? {
    switch scalar.value {
    case 0x200C: { index, text in followsVirama(index, text) || joinsBothSides(index, text) }
    case 0x200D: { index, text in followsVirama(index, text) }
    case 0xB7:
      { index, text in index > 0 && index + 1 < text.count && text[index - 1] == "l" && text[index + 1] == "l" }
    case 0x375: { index, text in index + 1 < text.count && isOf("Greek", text[index + 1]) }
    case 0x5F3, 0x5F4: { index, text in index > 0 && isOf("Hebrew", text[index - 1]) }
    case 0x30FB: { _, text in text.contains { isOf("Hiragana", $0) || isOf("Katakana", $0) || isOf("Han", $0) } }
    case 0x660...0x669: { _, text in !text.contains { (0x6F0...0x6F9).contains($0.value) } }
    case 0x6F0...0x6F9: { _, text in !text.contains { (0x660...0x669).contains($0.value) } }
    default: nil
    }
  }

  private static func followsVirama(_ index: Int, _ text: [Unicode.Scalar]) -> Bool {
    index > 0 && uc_combining_class(text[index - 1].value) == UC_CCC_VR
  }

  /// A left-joining letter before and a right-joining one after; transparent characters between do not count.
  private static func joinsBothSides(_ index: Int, _ text: [Unicode.Scalar]) -> Bool {
    let before = text[..<index].last { joiningType($0) != UC_JOINING_TYPE_T }
    let after = text[(index + 1)...].first { joiningType($0) != UC_JOINING_TYPE_T }
    guard let before, let after else { return false }
    return [UC_JOINING_TYPE_L, UC_JOINING_TYPE_D].contains(joiningType(before))
      && [UC_JOINING_TYPE_R, UC_JOINING_TYPE_D].contains(joiningType(after))
  }

  private static func joiningType(_ scalar: Unicode.Scalar) -> Int {
    Int(uc_joining_type(scalar.value))
  }

  private static func isOf(_ script: String, _ scalar: Unicode.Scalar) -> Bool {
    guard let known = unsafe uc_script_byname(script) else { return false }
    // libunistring puts the middle dot into the Common script, so the middle dot alone does not satisfy the rule.
    return unsafe uc_is_script(scalar.value, known)
  }
}
