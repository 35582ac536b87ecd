internal import Tables

// One handle names both the relay's record of a relay port and the engine's socket. The relay also knows a client's
// connection or DTLS association by a handle, and has no other record of it.

extension Handle where Element: ~Copyable {
  /// The handle with the same numbers in the table of another kind.
  @inline(__always)
  init<Other: ~Copyable>(sameAs other: Handle<Other>) {
    self.init(index: other.index, generation: other.generation)
  }
}
