/// The commands that wait for the engine, oldest first.
struct CommandQueue {
  private var commands: [RelayCommand] = []
  private var taken = 0

  init() { commands.reserveCapacity(16) }

  /// Whether `pop` need not be called.
  @inline(__always) var isEmpty: Bool { commands.isEmpty }

  mutating func append(_ command: RelayCommand) { commands.append(command) }

  /// Takes the oldest command; nil if there is none. The memory is kept.
  mutating func pop() -> RelayCommand? {
    guard taken < commands.count else {
      if taken > 0 {
        commands.removeAll(keepingCapacity: true)
        taken = 0
      }
      return nil
    }
    defer { taken += 1 }
    return commands[taken]
  }
}
