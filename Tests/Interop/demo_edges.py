"""Faults that the demo page must explain, and orders of messages that it must accept. Used by demo.py."""

import json
import subprocess

import isolation
from report import Failure

FIREWALL = """
table inet closed {
  chain output {
    type filter hook output priority filter;
    udp dport 3478 drop
    tcp dport 3478 reject with tcp reset
  }
}
"""

# Two ends in one page; what the first one sends comes in the wrong order: candidates before the description.
REORDERED = """(async () => {
  const {Peer} = await import("/demo/peer.js");
  const {testPicture, close} = await import("/demo/media.js");
  const configuration = await demo.configuration();
  const held = [];
  const ends = [];
  const make = (name, isPolite, send) => new Peer({ tag: name, info: {name}, isPolite, configuration, send,
    configure: demo.configuration });
  ends.push(make("one", false, (message) => held.push(message)), make("two", true, (message) => ends[0].take(message)));
  const stream = testPicture();
  ends[0].addStream(stream);
  while (!held.some(({candidates}) => candidates)) await new Promise((resolve) => setTimeout(resolve, 20));
  const early = held.filter(({candidates}) => candidates).length;
  held.sort((one, other) => !one.candidates - !other.candidates);
  for (const message of held) await ends[1].take(message);
  ends[0].send = (message) => ends[1].take(message);
  for (let round = 0; round < 100 && !ends.every((end) => end.isConnected); round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const result = {early, states: ends.map((end) => end.connection.connectionState), taken: ends[1].remote.length};
  ends.forEach((end) => end.close());
  close(stream);
  return JSON.stringify(result);
})()"""


def firewall(tab, link, path):
    """The check says in words which transports fail and why, and that the other one works."""
    if not isolation.isolated():
        return {"skipped": "no namespaces"}
    subprocess.run(["nft", "-f", "-"], input=FIREWALL, text=True, check=True)
    try:
        tab.enter(link, "Person")
        tab.set("check", path)
        tab.click("check-start")
        tab.until("document.querySelectorAll('.verdict.bad').length === 2", 20)
        tab.until("document.querySelector('#verdict-tls.good')", 10)
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "closed"], check=True)
    words = {name: tab.text(f"verdict-{name}") for name in ("udp", "tcp", "tls")}
    tab.evaluate("demo.check.stop()")
    if not all("firewall" in words[name] for name in ("udp", "tcp")) or "Works" not in words["tls"]:
        raise Failure(str(words))
    return words


def early_candidates(tab, link, path):
    """Candidates that come before the description wait for it."""
    tab.enter(link, "Person")
    tab.set("call", path, "test")
    result = json.loads(tab.evaluate(REORDERED))
    if result["states"] != ["connected", "connected"] or not result["early"] or not result["taken"]:
        raise Failure(str(result))
    return result


def stale_link(tab, link, token):
    """A link with a wrong key: the page says so, and makes a new room with the token."""
    page, _, room = link.partition("#")
    tab.open("about:blank")
    tab.open(f"{page}#{room.partition('.')[0]}.{'A' * 24}")
    tab.until("document.getElementById('token-dialog')?.open")
    words = tab.text("token-problem")
    if "no longer valid" not in words:
        raise Failure(words)
    tab.front()  # the end of a dialog waits for the next picture of the page
    tab.give_token(token)
    tab.until("location.hash.length > 20 && document.getElementById('state').className === 'pill ready'")
    if tab.evaluate("location.hash") == f"#{room}":
        raise Failure("the page is in the old room")
    return {"words": words}


def impatience(path, one, two):
    """A button that is pressed twice makes one call; after a wrong key the next attempt asks for the right one."""
    try:
        for tab in (one, two):
            tab.set("call", path, "test")
        twice = "document.getElementById('start').click(); document.getElementById('start').click();"
        one.evaluate(f"demo.access.answer = {{...demo.access.answer, key: 'A'.repeat(24)}}; {twice}")
        one.until_said("this is not the key of the room")
        one.until("!demo.room.session && document.getElementById('start').checkVisibility()")
        one.evaluate(twice)
        one.until_in_room()
        two.click("start")
        figures = [tab.arrived(path) for tab in (one, two)]
        members = two.evaluate("demo.room.session.people.size")
        if members != 1:
            raise Failure(f"{members} others are in the room, not 1")
        return {"ends": figures}
    finally:
        for tab in (one, two):
            tab.evaluate("demo.room.hangUp()")


def large_file(path, one, two):
    """A file over the limit is refused in words, and the next one is sent."""
    try:
        for tab in (one, two):
            tab.set("data", path, "test")
        one.click("start")
        one.until_in_room()
        two.click("start")
        two.arrived(path)
        one.until("demo.room.panels.peers[0]?.channel.readyState === 'open'")
        send = "demo.room.panels.peers[0].transfer.send(new File([{}], 'name'))"
        words = one.evaluate(send.format("new Uint8Array((64 << 20) + 1)")
                             + ".then(() => 'sent', (error) => error.message)")
        if words != "the limit is 64 MiB":
            raise Failure(words)
        one.evaluate(send.format("'x'"))
        two.until("document.querySelector('#files li[data-intact=true][data-size=\"1\"]')")
        return {"words": words}
    finally:
        for tab in (one, two):
            tab.evaluate("demo.room.hangUp()")
