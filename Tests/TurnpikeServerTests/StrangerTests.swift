import NetworkTypes
import TestSupport
import Testing

@testable import TurnpikeServer

@Suite("Resources of unauthenticated clients")
struct StrangerTests {
  private func address(_ network: UInt32, _ host: UInt32) -> IPAddress { IPAddress(ipv4: network << 8 | host) }

  @Test("The oldest connection of the heaviest address in the heaviest network is evicted")
  func heaviest() {
    var queue = FairQueue<Int>()
    #expect(queue.heaviest == nil)
    queue.append(1, from: address(1, 1))
    queue.append(2, from: address(1, 1))
    queue.append(3, from: address(2, 1))
    queue.append(4, from: address(2, 2))
    queue.append(5, from: address(2, 2))
    #expect(queue.heaviest == 4 && queue.count == 5 && queue.heaviestCount == 3)
    let first = queue.removeHeaviest()
    let isRemoved = [queue.remove(3, from: address(2, 1)), queue.remove(3, from: address(2, 1))]
    #expect(first == 4 && isRemoved == [true, false])
    #expect(queue.heaviest == 1 && queue.oldest(of: address(2, 2)) == 5 && queue.count(of: address(1, 1)) == 2)
    var left: [Int?] = []
    for _ in 0..<4 { left.append(queue.removeHeaviest()) }
    #expect(Set(left) == [1, 2, 5, nil] && left.last == .some(nil))
    #expect(queue.isEmpty && queue.heaviest == nil && queue.heaviestCount == 0)
  }

  @Test("An IPv6 /56 counts as one address and a /48 as one network")
  func prefixes() throws {
    var queue = FairQueue<Int>()
    queue.append(1, from: try #require(IPAddress("2001:db8:0:0::1")))
    queue.append(2, from: try #require(IPAddress("2001:db8:0:ff::1")))
    queue.append(3, from: try #require(IPAddress("2001:db8:0:100::1")))
    queue.append(4, from: try #require(IPAddress("2001:db8:1::1")))
    #expect(queue.count(of: try #require(IPAddress("2001:db8::7"))) == 2)
    #expect(queue.heaviestCount == 3 && queue.heaviest == 1)
  }

  @Test("The heaviest address by bytes is found, in the heaviest network, whatever the number of its connections")
  func bytes() throws {
    var charged = ChargedBytes()
    #expect(charged.heaviest == nil)
    for _ in 0..<100 { charged.change(address(1, 1), by: 1000) }
    charged.change(address(2, 1), by: 300_000)
    charged.change(address(2, 2), by: 310_000)
    #expect(charged.heaviest?.address == address(2, 2) && charged.heaviest?.bytes == 310_000)
    charged.change(address(2, 2), by: -305_000)
    #expect(charged.heaviest?.address == address(2, 1) && charged.bytes(of: address(2, 2)) == 5000)
    charged.change(address(2, 1), by: -300_000)
    #expect(charged.heaviest?.address == address(1, 1) && charged.heaviest?.bytes == 100_000)
    charged.change(address(2, 2), by: -5000)
    for _ in 0..<100 { charged.change(address(1, 1), by: -1000) }
    #expect(charged.heaviest == nil)
    // An IPv6 /56 counts as one address and a /48 as one network.
    charged.change(try #require(IPAddress("2001:db8:0:1::1")), by: 10)
    charged.change(try #require(IPAddress("2001:db8:0:2::1")), by: 10)
    charged.change(try #require(IPAddress("2001:db8:1:1::1")), by: 15)
    #expect(charged.heaviest?.address == IPAddress("2001:db8::") && charged.heaviest?.bytes == 20)
  }

  @Test("Of random charges the network that is found has at least four fifths of the heaviest one's bytes")
  func randomBytes() {
    let seed: UInt64 = 0x5EED_0043
    var random = SplitMix(state: seed)
    var charged = ChargedBytes()
    var model: [IPAddress: Int] = [:]
    for _ in 0..<2000 {
      let from = address(UInt32.random(in: 1...9, using: &random), UInt32.random(in: 1...3, using: &random))
      let step = Int.random(in: -min(model[from, default: 0], 60_000)...50_000, using: &random)
      charged.change(from, by: step)
      model[from, default: 0] += step
      #expect(charged.bytes(of: from) == model[from], "seed \(seed)")
      let networks = Dictionary(grouping: model) { $0.key.network }.mapValues { $0.reduce(0) { $0 + $1.value } }
      guard let found = charged.heaviest, let most = networks.values.max() else { continue }
      #expect(networks[found.address.network, default: 0] * 5 >= most * 4, "seed \(seed)")
      let own = model.filter { $0.key.network == found.address.network }
      #expect(found.bytes == own.values.max(), "seed \(seed)")
    }
  }

  @Test("A thousand random steps agree with a simple count")
  func random() {
    let seed: UInt64 = 0x5EED_0042
    var random = SplitMix(state: seed)
    var queue = FairQueue<Int>()
    var model: [(element: Int, address: IPAddress)] = []
    for step in 0..<1000 {
      switch Int.random(in: 0..<5, using: &random) {
      case 0...2:
        let from = address(UInt32.random(in: 1...4, using: &random), UInt32.random(in: 1...4, using: &random))
        queue.append(step, from: from)
        model.append((step, from))
      case 3:
        guard let entry = model.randomElement(using: &random) else { continue }
        let isRemoved = queue.remove(entry.element, from: entry.address)
        #expect(isRemoved, "seed \(seed)")
        model.removeAll { $0.element == entry.element }
      default:
        guard let victim = queue.removeHeaviest(), let entry = model.first(where: { $0.element == victim }) else {
          continue
        }
        let networks = Dictionary(grouping: model) { $0.address.network }.mapValues(\.count)
        #expect(networks[entry.address.network] == networks.values.max(), "seed \(seed)")
        let own = model.filter { $0.address.network == entry.address.network }
        let addresses = Dictionary(grouping: own) { $0.address }
        #expect(addresses[entry.address]?.count == addresses.values.map(\.count).max(), "seed \(seed)")
        #expect(addresses[entry.address]?.first?.element == victim, "seed \(seed)")
        model.removeAll { $0.element == victim }
      }
      #expect(queue.count == model.count, "seed \(seed)")
    }
  }

  @Test("Addresses take turns, and a full queue drops the oldest job of the heaviest address")
  func turns() {
    var queue = TurnQueue<Int>(limit: 5)
    var victims: [Int?] = []
    for job in 1...4 { victims.append(queue.append(job, from: address(1, 1))) }
    victims.append(queue.append(5, from: address(2, 1)))
    victims.append(queue.append(6, from: address(3, 1)))
    #expect(victims == [nil, nil, nil, nil, nil, 1])
    var order: [Int?] = []
    for _ in 0..<6 { order.append(queue.next()) }
    #expect(order == [2, 5, 6, 3, 4, nil] && queue.count == 0)
    let victim = queue.append(7, from: address(1, 1))
    let last = queue.next()
    #expect(victim == nil && last == 7)
  }

  @Test("Each address has its own limit, and an IPv6 /64 counts as one address")
  func addresses() throws {
    let ledger = ConnectionLedger(files: 100_000)
    let first = try #require(IPAddress("2001:db8::1"))
    let neighbour = try #require(IPAddress("2001:db8::2"))
    let other = try #require(IPAddress("2001:db8:0:1::1"))
    for _ in 0..<ConnectionLedger.limit { #expect(ledger.admit(first, isStream: false) == nil) }
    #expect(ledger.admit(neighbour, isStream: true) == .address && ledger.admit(other, isStream: true) == nil)
    ledger.release(first, isStranger: false)
    #expect(ledger.admit(neighbour, isStream: true) == nil)
  }

  @Test("Unauthenticated connections have a third of the descriptors, and authentication frees their part")
  func strangers() {
    let ledger = ConnectionLedger(files: 30)
    #expect(ledger.strangerLimit == 10 && ledger.descriptorLimit == 15)
    for number in 0..<10 { #expect(ledger.admit(address(1, UInt32(number)), isStream: true) == nil) }
    #expect(ledger.admit(address(1, 99), isStream: true) == .strangers)
    #expect(ledger.admit(address(1, 99), isStream: false) == nil)
    ledger.prove()
    #expect(ledger.admit(address(1, 99), isStream: true) == nil)
    ledger.release(address(1, 0), isStranger: true)
    ledger.release(address(1, 1), isStranger: false)
    #expect(ledger.admit(address(1, 0), isStream: true) == nil)
    #expect(ledger.admit(address(1, 1), isStream: true) == .strangers)
    #expect(ConnectionLedger(files: 1024).descriptorLimit == 992)
  }

  @Test("A connection whose proxy names its client counts for the client, up to the client's limit")
  func renamed() {
    let ledger = ConnectionLedger(files: 100_000)
    let (proxy, client) = (IPAddress(10, 0, 0, 5), IPAddress(198, 51, 100, 7))
    for _ in 0..<ConnectionLedger.limit {
      #expect(ledger.admit(proxy, isStream: true) == nil)
      #expect(ledger.rename(proxy, to: client))
    }
    #expect(ledger.admit(proxy, isStream: true) == nil)
    #expect(!ledger.rename(proxy, to: client))
    ledger.release(proxy, isStranger: true)
    ledger.release(client, isStranger: true)
    // The proxy has its whole limit again, and the client room for one more.
    for _ in 0..<ConnectionLedger.limit { #expect(ledger.admit(proxy, isStream: true) == nil) }
    #expect(ledger.rename(proxy, to: client))
    #expect(!ledger.rename(proxy, to: client))
  }
}
