internal import Foundation
internal import Rooms
internal import TestSupport
internal import Testing
internal import WebServer

@testable internal import Admin

@Suite("Files of the dashboard and the demo page")
struct PageTests {
  private let server = FakeServer()

  @Test(
    "Each file is served without a token, with a policy that allows nothing from elsewhere",
    arguments: Page.all + Page.demo)
  func served(page: Page) throws {
    let router = Router(token: "secret", rooms: RoomKeys(secret: [1]), server: server)
    let answer = router.answer(request(.get, page.path, host: "turn.example.org"))
    #expect(answer.status == 200 && answer.contentType == page.contentType && !answer.body.isEmpty)
    #expect(answer.header("Content-Security-Policy")?.hasPrefix("default-src 'none'; script-src 'self'") == true)
    #expect(answer.header("X-Content-Type-Options") == "nosniff" && answer.header("X-Frame-Options") == "DENY")
    #expect((answer.header("Permissions-Policy") != nil) == page.path.hasPrefix("/demo"))
    #expect(router.answer(request(.post, page.path)).status == 405)
  }

  @Test("No file names another server, and the page has neither script nor style in it")
  func own() throws {
    for page in Page.all + Page.demo {
      let text = String(decoding: page.body, as: UTF8.self).replacing("http://www.w3.org/2000/svg", with: "")
      #expect(!text.contains("http://") && !text.contains("https://"), "\(page.path)")
    }
    for path in ["/", "/demo"] {
      let text = String(decoding: try #require(Page.find(path)).body, as: UTF8.self)
      #expect(!text.contains("<style") && !text.contains(" style=") && !text.contains("onclick"))
      #expect(text.components(separatedBy: "<script").count == 2 && text.contains("<script type=\"module\" src="))
    }
  }

  @Test("The script never sets HTML from texts")
  func script() throws {
    let files = (Page.all + Page.demo).filter { $0.path.hasSuffix(".js") }.map(\.body)
    #expect(files.count == 21)
    let text = String(decoding: files.joined(), as: UTF8.self)
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
      #expect(!text.contains(word))
    }
  }

  @Test("Every file that a page or script names exists")
  func named() throws {
    for path in ["/", "/demo"] {
      let text = String(decoding: try #require(Page.find(path)).body, as: UTF8.self)
      for match in text.matches(of: /(?:src|href)="([^"]+)"/) { #expect(Page.find("/\(match.1)") != nil) }
    }
    for page in Page.demo where page.path.hasSuffix(".js") {
      for match in String(decoding: page.body, as: UTF8.self).matches(of: /from "(\.\.?)\/([^"]+)"/) {
        #expect(Page.find((match.1 == ".." ? "/" : "/demo/") + match.2) != nil, "\(page.path): \(match.0)")
      }
    }
  }

  @Test("docs/webrtc.md quotes lines of the page's files, in their order")
  func quoted() throws {
    var blocks = 0
    for part in try Paths.text("docs/webrtc.md").components(separatedBy: "\n```js").dropFirst() {
      let lines = part.components(separatedBy: "\n```")[0].split(separator: "\n", omittingEmptySubsequences: false)
      let page = try #require(Page.find("/demo/" + lines[0].dropFirst()), "a block names no file: \(lines[0])")
      var rest = String(decoding: page.body, as: UTF8.self).split(separator: "\n").map(trimmed)[...]
      for line in lines.dropFirst().map(trimmed) where line != "…" {
        let found = rest.firstIndex(of: line)
        #expect(found != nil, "\(page.path) has no such line here: \(line)")
        if let found { rest = rest[(found + 1)...] }
      }
      blocks += 1
    }
    #expect(blocks == 14)
  }

  private func trimmed(_ line: Substring) -> Substring { line.trimmingPrefix { $0 == " " } }
}
