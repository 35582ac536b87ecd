internal import NetworkTypes

/// Elements of unauthenticated clients, oldest first for each address. At a limit the oldest element of the heaviest
/// address (IPv6: /56) in the heaviest network (IPv4: /24, IPv6: /48) is removed.
struct FairQueue<Element: Equatable> {
  private var sources: [IPAddress: [Element]] = [:]
  private var networks: [IPAddress: Network] = [:]
  /// The networks by their number of elements, which is the index. Levels above the heaviest network's are empty. A few
  /// of them stay, so that a queue that fills and empties does not allocate them each time.
  private var levels: [Set<IPAddress>] = [[]]
  private(set) var count = 0

  private struct Network {
    var count = 0
    var sources: Set<IPAddress> = []

    /// Counts a source's element in or out, and returns the number of elements.
    mutating func change(_ source: IPAddress, by step: Int, isGone: Bool) -> Int {
      count += step
      if isGone { sources.remove(source) } else { sources.insert(source) }
      return count
    }
  }

  var isEmpty: Bool { count == 0 }

  /// The number of elements of the heaviest network.
  private(set) var heaviestCount = 0

  /// The number of elements of an address.
  func count(of address: IPAddress) -> Int { sources[address.source]?.count ?? 0 }

  mutating func append(_ element: Element, from address: IPAddress) {
    let source = address.source
    sources[source, default: []].append(element)
    count += 1
    change(source, by: 1)
  }

  /// Removes an element; false if it does not exist.
  @discardableResult
  mutating func remove(_ element: Element, from address: IPAddress) -> Bool {
    let source = address.source
    guard let index = sources[source]?.firstIndex(of: element) else { return false }
    remove(at: index, from: source)
    return true
  }

  /// The oldest element of an address.
  func oldest(of address: IPAddress) -> Element? { sources[address.source]?.first }

  /// The heaviest address in the heaviest network.
  private var heaviestSource: IPAddress? {
    guard let network = levels[heaviestCount].first.flatMap({ networks[$0] }) else { return nil }
    return network.sources.max { sources[$0]?.count ?? 0 < sources[$1]?.count ?? 0 }
  }

  /// The oldest element of the heaviest address.
  var heaviest: Element? { heaviestSource.flatMap { sources[$0]?.first } }

  mutating func removeHeaviest() -> Element? { heaviestSource.flatMap { removeOldest(of: $0) } }

  mutating func removeOldest(of address: IPAddress) -> Element? {
    guard let oldest = oldest(of: address) else { return nil }
    remove(at: 0, from: address.source)
    return oldest
  }

  private mutating func remove(at index: Int, from source: IPAddress) {
    sources[source]?.remove(at: index)
    if sources[source]?.isEmpty == true { sources[source] = nil }
    count -= 1
    change(source, by: -1)
  }

  private mutating func change(_ source: IPAddress, by step: Int) {
    let name = source.network
    let isGone = sources[source] == nil
    // In place: a copy would copy the network's sources.
    let count = networks[name, default: Network()].change(source, by: step, isGone: isGone)
    if count == 0 { networks[name] = nil }
    if count - step > 0 { levels[count - step].remove(name) }
    if count > 0 {
      while levels.count <= count { levels.append([]) }
      levels[count].insert(name)
    }
    heaviestCount = max(heaviestCount, count)
    while heaviestCount > 0, levels[heaviestCount].isEmpty { heaviestCount -= 1 }
    if self.count == 0, levels.count > 8 || levels.contains(where: { $0.capacity > 64 }) { levels = [[]] }
  }
}

extension IPAddress {
  /// The usual address block of one customer of an access network: an IPv4 address, or an IPv6 /56.
  var source: IPAddress { family == .ipv6 ? masked(to: 56) : self }

  /// The address block that one customer of a hosting network may have.
  var network: IPAddress { masked(to: family == .ipv6 ? 48 : 24) }
}

/// A bounded queue of jobs in which addresses take turns.
struct TurnQueue<Element: Equatable> {
  private var jobs = FairQueue<Element>()
  /// Addresses with jobs, the next one first; may include addresses without jobs.
  private var turns: [IPAddress] = []
  let limit: Int

  init(limit: Int) { self.limit = limit }

  var count: Int { jobs.count }

  /// Adds a job. If the queue is full, removes and returns the oldest job of the heaviest address.
  mutating func append(_ job: Element, from address: IPAddress) -> Element? {
    let source = address.source
    jobs.append(job, from: source)
    if !turns.contains(source) { turns.append(source) }
    return jobs.count > limit ? jobs.removeHeaviest() : nil
  }

  /// Removes and returns the oldest job of the next address in turn.
  mutating func next() -> Element? {
    while !turns.isEmpty {
      let source = turns.removeFirst()
      guard let job = jobs.removeOldest(of: source) else { continue }
      if jobs.count(of: source) > 0 { turns.append(source) }
      return job
    }
    return nil
  }
}
