internal import CommandLine
internal import LoadGeneration

/// The text of `--help`. It fits a screen of 24 lines, including the prompt, and 80 columns.
enum Usage {
  static let text = HelpPage(Arguments.table, parts).text

  private static let parts: [HelpPage<LoadSettings.Work>.Part] = [
    .text(
      """
      turnload [COMMAND] [OPTIONS] TARGET      loads a server of yours and measures it

        relay (default)  through allocations to peers: sockets of turnload
        relay-to-relay   between allocations     binding   Binding requests
        allocate         401, Allocate, Refresh  hold      allocations that are kept
        floor [--rate N] no server: what one sendto and one recv cost this machine

      """),
    .list(["--transport", "--direction"]), .list(["--size", "--allocations", "--burst"]), .row(["--window"], nil),
    .row(["--rate", "--search"], "N a second; the highest with less than 0.1 % loss"),
    .list(["--duration", "--warm-up", "--indications"]),
    .row(["--gso", "--gro"], "UDP: send, receive a burst in one system call"), .row(["--max-loss"], nil),
    .row(["--server-pid"], nil), .row(["--server-core"], nil),
    .list(["--username", "--password-file", "--secret-file"]),
    .row(["--oauth-token-file"], "also TURNLOAD_USERNAME, _PASSWORD, _SECRET"),
    .row(["--i-own-this-server"], "public addresses need it"), .list(["--json", "--version", "--help"]),
    .list(["--ca", "--insecure", "--certificate", "--private-key"]),
    .text(
      """
      Exit status: 0 good, 1 a warning, 2 failed, 3 wrong usage. --json: turnload.md
        TURNLOAD_USERNAME=u TURNLOAD_PASSWORD=p turnload --direction echo turn:[::1]
      """),
  ]
}
