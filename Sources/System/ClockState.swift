internal import CLinux

/// The kernel's view of its wall clock (adjtimex): whether a time service keeps it right.
public enum ClockState: Equatable, Sendable {
  /// With the largest error that the time service admits.
  case synchronized(maximumError: Duration)
  case unsynchronized
  /// The kernel does not tell, as under some container rules.
  case unknown(Errno)

  /// Reads the state; the call changes nothing.
  public static func read() -> ClockState {
    var state = timex()
    let status = unsafe adjtimex(&state)
    guard status >= 0 else { return .unknown(.current) }
    guard status != TIME_ERROR, state.status & STA_UNSYNC == 0 else { return .unsynchronized }
    return .synchronized(maximumError: .microseconds(state.maxerror))
  }
}
