// The names of <linux/io_uring.h> without their prefix. Their values are written here, because Debian 12's header lacks
// some of them and the importer does not import macros with casts.

extension IORing {
  /// IORING_SETUP_…, for io_uring_setup(2).
  struct SetupFlags: OptionSet {
    let rawValue: UInt32

    /// CQSIZE: the caller chooses the size of the completion queue.
    static let completionQueueSize = SetupFlags(rawValue: 1 << 3)
    /// CLAMP: sizes that are too large are lowered.
    static let clamp = SetupFlags(rawValue: 1 << 4)
    /// SUBMIT_ALL: a submission that fails does not end the batch.
    static let submitAll = SetupFlags(rawValue: 1 << 7)
    /// SINGLE_ISSUER: only this thread submits.
    static let singleIssuer = SetupFlags(rawValue: 1 << 12)
    /// DEFER_TASKRUN: operations complete only while this thread waits for completions.
    static let deferTaskRun = SetupFlags(rawValue: 1 << 13)

    static let all: SetupFlags = [.completionQueueSize, .clamp, .submitAll, .singleIssuer, .deferTaskRun]
  }

  /// IORING_FEAT_…: the kernel's features.
  struct Features: OptionSet {
    let rawValue: UInt32

    /// SINGLE_MMAP (Linux 5.4): both queues lie in one mapping.
    static let singleMapping = Features(rawValue: 1 << 0)
    /// NODROP: completions beyond the queue's size are kept.
    static let noDrop = Features(rawValue: 1 << 1)
    /// EXT_ARG: io_uring_enter takes a timeout.
    static let extendedArgument = Features(rawValue: 1 << 8)
    /// CQE_SKIP (Linux 5.17): successful submissions need not complete.
    static let skipsCompletions = Features(rawValue: 1 << 11)
    /// NO_IOWAIT (Linux 6.15): the wait for completions need not count as a wait for a disk.
    static let noIOWait = Features(rawValue: 1 << 17)

    static let needed: Features = [.singleMapping, .noDrop, .extendedArgument, .skipsCompletions]
  }

  /// IORING_ENTER_…, for io_uring_enter(2).
  struct EnterFlags: OptionSet {
    let rawValue: UInt32

    /// GETEVENTS: waits for completions.
    static let getEvents = EnterFlags(rawValue: 1 << 0)
    /// EXT_ARG: the argument has a timeout.
    static let extendedArgument = EnterFlags(rawValue: 1 << 3)
    /// REGISTERED_RING: the argument is the ring's registered index.
    static let registeredRing = EnterFlags(rawValue: 1 << 4)
    /// NO_IOWAIT: the kernel does not count the wait as a wait for a disk. Without this flag it counts each wait of a
    /// ring with operations in progress, so here every wait.
    static let noIOWait = EnterFlags(rawValue: 1 << 7)
  }

  /// IORING_REGISTER_…, for io_uring_register(2).
  enum RegisterOperation {
    static var registerRing: UInt32 { 20 }
    static var unregisterRing: UInt32 { 21 }
  }

  /// IOSQE_…: flags of a submission.
  enum SubmissionFlags {
    /// BUFFER_SELECT: the kernel chooses a provided buffer.
    static var bufferSelect: UInt8 { 1 << 5 }
    /// CQE_SKIP_SUCCESS: only a failure completes.
    static var skipSuccess: UInt8 { 1 << 6 }
  }

  /// IORING_RECV_…: flags of a receive, in `ioprio`.
  enum ReceiveFlags {
    /// MULTISHOT: receives until it is cancelled.
    static var multishot: UInt16 { 1 << 1 }
  }

  /// IORING_CQE_F_…: flags of a completion.
  struct CompletionFlags: OptionSet, BitwiseCopyable, Sendable {
    let rawValue: UInt32

    /// BUFFER: the upper bits are the number of a provided buffer.
    static var buffer: CompletionFlags { CompletionFlags(rawValue: 1 << 0) }
    /// MORE: the submission will complete again.
    static var more: CompletionFlags { CompletionFlags(rawValue: 1 << 1) }
    static var bufferShift: UInt32 { 16 }
  }
}
