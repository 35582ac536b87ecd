import Foundation

/// Seconds since 1970. OpenSSL verifies certificates with the real clock, so the tests use it too.
func realNow() -> Int64 { Int64(Date().timeIntervalSince1970) }
