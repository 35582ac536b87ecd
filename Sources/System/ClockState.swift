internal import CLinux

/// The kernel's view of its wall clock (adjtimex): whether a time service adjusts it.
public enum ClockState: Equatable, Sendable {
  /// A time service adjusts the clock; it estimates this largest error.
  case synchronized(maximumError: Duration)
  case unsynchronized
  /// The kernel refuses the call, as under some container rules.
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
