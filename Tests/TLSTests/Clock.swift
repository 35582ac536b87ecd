import Foundation
import NetworkTypes

/// The wall clock. OpenSSL verifies certificates with the real clock, so the tests use it too.
func realNow() -> UnixTime { UnixTime(seconds: Int64(Date().timeIntervalSince1970)) }
