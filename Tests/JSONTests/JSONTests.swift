internal import Crypto
internal import JSON
internal import TestSupport
internal import Testing

@Suite("JSON")
struct JSONTests {
  static let document: JSONValue = [
    "iceServers": [
      ["urls": ["turn:192.0.2.1:3478?transport=udp"], "username": "1700000000:a\"b", "credential": "x\\y/z="]
    ],
    "count": -3, "share": 0.1, "ok": true, "bad": false, "none": nil, "empty": [:], "list": [],
    "text": "é\u{1F600}\n\u{0}\u{7F}",
  ]

  @Test("Members keep their order, and decoding an encoded document gives the same document")
  func roundTrip() throws {
    for pretty in [false, true] {
      let text = Self.document.encode(pretty: pretty)
      #expect(text.contains("\n") == pretty)
      #expect(try JSONValue.decode(text) == Self.document)
    }
  }

  @Test("The iceServers line has the form that a browser reads")
  func compact() {
    let value: JSONValue = ["iceServers": [["urls": ["turn:a"], "username": "u", "credential": "c"]]]
    #expect(value.encode() == #"{"iceServers":[{"urls":["turn:a"],"username":"u","credential":"c"}]}"#)
  }

  @Test(
    "A single value is a document",
    arguments: [
      ("1", JSONValue.integer(1)), ("-9223372036854775808", .integer(.min)), ("1.5", .double(1.5)), ("\"a\"", "a"),
      ("null", .null), ("true", true), ("[]", .array([])), ("{}", .object([])), (" [1, 2]\n", .array([1, 2])),
      ("\"\\u00e9\"", "é"),
    ] as [(String, JSONValue)])
  func values(text: String, value: JSONValue) throws {
    #expect(try JSONValue.decode(text) == value)
  }

  @Test("A number without a JSON form becomes null")
  func numbers() {
    #expect(JSONValue.array([.double(.nan), .double(.infinity), 0.1]).encode() == "[null,null,0.1]")
  }

  @Test(
    "Invalid JSON is refused with its line",
    arguments: [
      ("", 1), ("{", 1), ("[1,\n2,\n]", 3), ("{\"a\":1,\n\"a\":2}", 2), ("[1] 2", 1), ("nul", 1), ("\"\u{1}\"", 1),
      ("99999999999999999999", 1), ("\"\\ud800\"", 1), ("'a'", 1), ("{\"\\u0000\": 1}", 1), ("1e999", 1),
    ])
  func malformed(text: String, line: Int) {
    let error = #expect(throws: JSONError.self) { try JSONValue.decode(text) }
    if case .malformed(let reason, let found) = error {
      #expect(found == line)
      #expect(!reason.isEmpty)
    } else {
      Issue.record("\(text): \(String(describing: error))")
    }
    #expect(throws: JSONError.self) { try JSONValue.decode([0x22, 0xFF, 0x22]) }
  }

  @Test(
    "The error does not quote the document, which may hold secrets",
    arguments: [
      "[{\"credential\" \"s3cret\"}]", "{\"s3cret\":1,\"s3cret\":2}", "[s3cret]", "\"s3cret",
    ])
  func quotation(text: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue.decode(text) }
    #expect(error?.description.isEmpty == false && error?.description.contains("s3cret") == false)
  }

  @Test("Size and depth are bounded")
  func bounds() throws {
    #expect(throws: JSONError.tooLarge) { try JSONValue.decode("[1,2]", sizeLimit: 4) }
    let deep = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
    #expect(throws: JSONError.tooDeep) { try JSONValue.decode(deep) }
    #expect(throws: Never.self) { try JSONValue.decode(String(deep.dropFirst().dropLast())) }
    #expect(throws: JSONError.tooDeep) { try JSONValue.decode(String(repeating: "{\"a\":", count: 100_000)) }
    // Brackets in strings do not count as depth.
    #expect(try JSONValue.decode("\"\\\"[[[[\"", depthLimit: 0) == "\"[[[[")
  }

  @Test("100,000 mutated documents are read or refused, and never trap", .tags(.slow), arguments: [UInt8](0..<2))
  func mutations(seed: UInt8) throws {
    var random = SeededGenerator(seed: [seed, 0x4A])
    let original = Array(Self.document.encode().utf8)
    var read = 0
    for _ in 0..<50_000 {
      var bytes = original
      for _ in 0...random.next(below: 3) {
        let position = Int(random.next(below: UInt64(bytes.count)))
        switch random.next(below: 3) {
        case 0: bytes[position] = UInt8(random.next(below: 256))
        case 1: bytes.remove(at: position)
        default: bytes.insert(Array("[]{}\",:\\0".utf8)[Int(random.next(below: 9))], at: position)
        }
      }
      if let value = try? JSONValue.decode(bytes) {
        read += 1
        _ = value.encode()
      }
    }
    #expect(read > 0)
  }
}
