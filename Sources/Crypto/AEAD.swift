internal import COpenSSL

/// AES-GCM (RFC 5116 section 5): sealed text cannot be read or changed without the key. It is used for mobility tickets
/// and access tokens, never for packets.
public enum AEAD {
  /// Bytes of a nonce; a nonce must never be used twice with one key.
  public static let nonceByteCount = 12
  /// Bytes of the tag at the end of sealed text, unless the caller gives another number.
  public static let tagByteCount = 16

  /// The sealed text and its tag of 12 to 16 bytes; nil unless the key has 16 or 32 bytes and the nonce 12.
  public static func seal(
    _ plaintext: [UInt8], key: [UInt8], nonce: [UInt8], associatedData: [UInt8] = [],
    tagByteCount: Int = AEAD.tagByteCount
  ) -> [UInt8]? {
    guard nonce.count == nonceByteCount, (12...16).contains(tagByteCount), let cipher = unsafe cipher(for: key) else {
      return nil
    }
    guard let context = unsafe EVP_CIPHER_CTX_new() else { return nil }
    defer { unsafe EVP_CIPHER_CTX_free(context) }
    guard unsafe EVP_EncryptInit_ex(context, cipher, nil, key, nonce) == 1 else { return nil }
    var length: Int32 = 0
    guard
      unsafe EVP_EncryptUpdate(context, nil, &length, associatedData, Int32(clamping: associatedData.count)) == 1
    else { return nil }
    var output = [UInt8](repeating: 0, count: plaintext.count)
    guard unsafe EVP_EncryptUpdate(context, &output, &length, plaintext, Int32(clamping: plaintext.count)) == 1 else {
      return nil
    }
    // GCM is a stream cipher: the final call writes no bytes.
    var none = [UInt8](repeating: 0, count: 16)
    var tag = [UInt8](repeating: 0, count: tagByteCount)
    guard unsafe EVP_EncryptFinal_ex(context, &none, &length) == 1,
      unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tagByteCount), &tag) == 1
    else { return nil }
    return output + tag
  }

  /// The plaintext; nil if the text was changed, or not sealed with this key, nonce and associated data.
  public static func open(
    _ sealed: [UInt8], key: [UInt8], nonce: [UInt8], associatedData: [UInt8] = [],
    tagByteCount: Int = AEAD.tagByteCount
  ) -> [UInt8]? {
    guard nonce.count == nonceByteCount, (12...16).contains(tagByteCount), sealed.count >= tagByteCount,
      let cipher = unsafe cipher(for: key)
    else { return nil }
    guard let context = unsafe EVP_CIPHER_CTX_new() else { return nil }
    defer { unsafe EVP_CIPHER_CTX_free(context) }
    let ciphertext = Array(sealed.dropLast(tagByteCount))
    var tag = Array(sealed.suffix(tagByteCount))
    var output = [UInt8](repeating: 0, count: ciphertext.count)
    var length: Int32 = 0
    var none = [UInt8](repeating: 0, count: 16)
    guard unsafe EVP_DecryptInit_ex(context, cipher, nil, key, nonce) == 1,
      unsafe EVP_DecryptUpdate(context, nil, &length, associatedData, Int32(clamping: associatedData.count)) == 1,
      unsafe EVP_DecryptUpdate(context, &output, &length, ciphertext, Int32(clamping: ciphertext.count)) == 1,
      unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagByteCount), &tag) == 1,
      unsafe EVP_DecryptFinal_ex(context, &none, &length) == 1
    else { return nil }
    return output
  }

  private static func cipher(for key: [UInt8]) -> OpaquePointer? {
    switch key.count {
    case 16: unsafe EVP_aes_128_gcm()
    case 32: unsafe EVP_aes_256_gcm()
    default: nil
    }
  }
}
