import Dissection
import Foundation
import Testing
import TestSupport

/// Tests dumps in the forms of common tools, whose offsets and text columns are no data.
@Suite("Hex dumps")
struct HexDumpTests {
  /// 40 bytes that contain text which looks like hexadecimal.
  static let message: [UInt8] =
    [0, 1, 0, 20, 0x21, 0x12, 0xA4, 0x42] + (1...12) + [0x80, 0x22, 0, 16] + Array("abcd ef 01 face!".utf8)

  static let dump = """
    0000   00 01 00 14 21 12 a4 42 01 02 03 04 05 06 07 08   ....!..B........
    0010   09 0a 0b 0c 80 22 00 10 61 62 63 64 20 65 66 20   ....."..abcd ef 
    0020   30 31 20 66 61 63 65 21                           01 face!

    """

  @Test("A star repeats the line before it, up to the next offset")
  func star() {
    let line = (1...16).map { UInt8($0) }
    let text = """
      0000   01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10
      *
      0030   21 12 a4 42
      """
    #expect(HexText.bytes(text) == line + line + line + [0x21, 0x12, 0xA4, 0x42])
  }

  /// Runs the tools that are installed, with their usual options.
  @Test(
    "The output of each dump tool is read back",
    arguments: [
      ("xxd", []), ("xxd", ["-g1"]), ("xxd", ["-g1", "-c8"]), ("xxd", ["-g4", "-u"]), ("xxd", ["-p"]),
      ("xxd", ["-i"]), ("xxd", ["-c40", "-g1"]), ("xxd", ["-d"]), ("od", ["-tx1"]), ("od", ["-A", "x", "-t", "x1"]),
      ("od", ["-A", "d", "-t", "x1z"]), ("od", ["-Ax", "-tx1z", "-v"]), ("od", ["-x"]), ("od", ["-tx4"]),
      ("od", ["-An", "-tx1"]), ("od", ["-tx1", "-w8"]), ("hexdump", []), ("hexdump", ["-C"]), ("hexdump", ["-x"]),
    ] as [(String, [String])])
  func tools(tool: String, options: [String]) throws {
    guard let path = ["/usr/bin/\(tool)", "/bin/\(tool)"].first(where: FileManager.default.isExecutableFile) else {
      print("NOTE: \(tool) is not installed: its dumps were not tested")
      return
    }
    let folder = try TemporaryDirectory()
    for bytes in [Self.message, Array(Self.message.prefix(24)), Self.message + [0x61, 0x62, 0x63]] {
      let file = try folder.write(bytes, to: "bytes")
      let run = try Child.run(path, options + [file])
      #expect(run.status == 0)
      #expect(HexText.bytes(run.output) == bytes, "\(tool) \(options)\n\(run.output)")
    }
  }

  @Test("Repeated lines are filled in, up to a limit")
  func repeatedLines() throws {
    let zeros = [UInt8](repeating: 0, count: 100)
    let dump = """
      00000000  00 01 00 64 21 12 a4 42  00 00 00 00 00 00 00 00  |...d!..B........|
      00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
      *
      00000078

      """
    #expect(HexText.bytes(dump) == [0, 1, 0, 100, 0x21, 0x12, 0xA4, 0x42] + zeros + [UInt8](repeating: 0, count: 12))
    #expect(HexText.bytes(dump.replacingOccurrences(of: "00000078", with: "ffffff78")) == nil)
  }

  @Test(
    "Offsets and the character column are not data",
    arguments: [
      // Wireshark with and without characters, tshark, tcpdump -x with its heading.
      dump, dump.split(separator: "\n").map { $0.prefix(55) }.joined(separator: "\n"),
      dump.replacingOccurrences(of: "   ", with: "  "),
      """
      12:00:00.000000 IP 10.0.0.1.40000 > 10.0.0.2.3478: UDP, length 40
      \t0x0000:  0001 0014 2112 a442 0102 0304 0506 0708  ....!..B........
      \t0x0010:  090a 0b0c 8022 0010 6162 6364 2065 6620  ....."..abcd.ef.
      \t0x0020:  3031 2066 6163 6521                      01.face!
      """,
    ])
  func columns(text: String) { #expect(HexText.bytes(text) == Self.message) }

  @Test("A dump may hold several packets")
  func packets() {
    #expect(HexText.packets(Self.dump + "\n" + Self.dump) == [Self.message, Self.message])
    #expect(HexText.packets("0000   00 01 00 00\n\n0000   40 01 00 00\n") == [[0, 1, 0, 0], [0x40, 1, 0, 0]])
  }

  @Test(
    "Plain hexadecimal is not taken for a dump",
    arguments: [
      // Groups of bytes that look like offsets.
      ("0000 0001 2112 a442", [0, 0, 0, 1, 0x21, 0x12, 0xA4, 0x42]),
      ("0000 0001\n0004 0005", [0, 0, 0, 1, 0, 4, 0, 5]),
      ("00000000 00000001", [0, 0, 0, 0, 0, 0, 0, 1]), ("0001 0000\n0000 00000000", [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] as [(String, [UInt8])])
  func plain(text: String, bytes: [UInt8]) { #expect(HexText.bytes(text) == bytes) }

  @Test("A frame with headers before the message is recognised, and plain STUN stays STUN")
  func frames() {
    let packet = CaptureBuilder.packet(Self.message)
    for frame in [packet, CaptureBuilder.ethernet(packet)] {
      #expect(CapturedSegment.recognize(frame)?.payload == Self.message)
    }
    var wrong = packet
    wrong[10] ^= 1
    #expect(CapturedSegment.recognize(wrong) == nil && CapturedSegment.recognize(Self.message) == nil)
    #expect(CapturedSegment.recognize(FlowTests.channel(0x4500, 1)) == nil)
  }
}
