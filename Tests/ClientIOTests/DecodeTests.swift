import Foundation
import Testing
import TestSupport

/// Tests `stunclient decode` with files of capture tools.
@Suite("stunclient decode with captures and dumps", .serialized)
struct DecodeProgramTests {
  func document(_ run: Run) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run)")
  }

  /// A capture of dumpcap on `lo` with a snapshot length of 96 and on `any` with 300: a relay over UDP with coturn, HTTP
  /// requests and five GTP-C requests.
  static let capture = Paths.repository("Tests/Corpora/two-interfaces.pcapng")

  @Test("A capture of two interfaces is read, and notes count the frames that are not shown")
  func twoInterfaces() throws {
    let run = try Run(["decode", "--json", Self.capture], environment: ["STUNCLIENT_PASSWORD": "secret"])
    let found = try document(run)
    #expect(run.status == 0 && found["message_count"] as? Int == 36, "\(run.error)")
    let frames = try #require(found["frames"] as? [String: Int])
    #expect(frames["could be ChannelData"] == 10 && frames["stun"] == 36, "\(frames)")
    let messages = try #require(found["messages"] as? [[String: Any]])
    #expect(messages.allSatisfy { ($0["problems"] as? [String]) == [] })
    #expect(messages.count { ($0["content"] as? String)?.hasSuffix("bytes are not in the capture") == true } == 14)
    let text = try Run(["decode", Self.capture])
    #expect(
      text.output.contains(
        "note: 10 frames could be ChannelData: there is no STUN between their addresses, so they are not shown\n"))
    let note = "note: 14 messages are truncated: the capture kept only the beginning of their packets\n"
    #expect(text.output.contains(note))
    #expect(!text.output.contains(":2123") && !text.output.contains(":8000"))
  }

  @Test("A whole frame copied from Wireshark is one message")
  func wiresharkFrame() throws {
    let dump = """
      0000   00 00 00 00 00 00 00 00 00 00 00 00 08 00 45 00   ..............E.
      0010   00 40 b6 8a 40 00 40 11 7d f8 64 14 1f 01 64 14   .@..@.@.}.d...d.
      0020   1f 01 8c 14 0d 96 00 2c 06 68 00 03 00 10 21 12   .......,.h....!.
      0030   a4 42 4f 5e 7c d9 23 83 75 13 be a9 6e 3d 00 19   .BO^|.#.u...n=..
      0040   00 04 11 00 00 00 80 28 00 04 09 7a b5 28         .......(...z.(

      """
    let run = try Run(["decode", "-"], input: dump)
    #expect(
      run.status == 0
        && run.output.hasPrefix("1  0.000000 UDP 100.20.31.1:35860 > 100.20.31.1:3478  Allocate request, 36 bytes\n"),
      "\(run)")
    #expect(run.output.contains("note: the bytes begin with the headers of a packet, which are left out"))
    // A single message on the command line is read as before.
    let data = try Run(["decode", "--json", "400100026869"])
    #expect(try document(data)["message_count"] as? Int == 1 && data.status == 0)
  }
}
