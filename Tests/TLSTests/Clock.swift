import Foundation

/// Seconds since 1970: OpenSSL verifies certificates by the real clock, so the tests make them around it.
func realNow() -> Int64 { Int64(Date().timeIntervalSince1970) }
