"""Tabs of the demo page, in Chromium and Firefox."""

import json
import time

from report import Failure
from tabs import ChromiumTab, FirefoxTab

# Audio packets and decoded frames that must arrive.
LEAST = {"audio": 50, "frames": 20}

# Figures of the peers of a session, or of the loopback's other end.
FIGURES = """(async () => {
  const session = %s;
  const {read, pairCode} = await import("/demo/stats.js");
  const result = [];
  for (const peer of session?.peers.values() ?? []) {
    const figures = await read(peer.connection);
    result.push({audio: figures.audio, frames: figures.frames, pair: pairCode(figures.pair), name: peer.info.name,
      state: peer.connection.connectionState, restarts: peer.restarts || 0,
      early: peer.connectedAfter, channel: peer.channel.readyState});
  }
  return JSON.stringify(result);
})()"""

# What the panel for learners must show, from the browser itself and not from the page's own code.
TOLD = """(async () => {
  const {connection} = demo.room.panels.peer;
  const report = await connection.getStats();
  const of = (id) => report.get(id) ?? {};
  const transport = [...report.values()].find((entry) => entry.type === "transport");
  const pair = transport?.selectedCandidatePairId ? of(transport.selectedCandidatePairId)
    : [...report.values()].find((entry) => entry.type === "candidate-pair" && entry.selected) ?? {};
  const places = [pair.localCandidateId, pair.remoteCandidateId].map(of)
    .filter(({address}) => address).map(({address, port}) => `${address}:${port}`);
  return JSON.stringify({local: connection.localDescription.sdp, remote: connection.remoteDescription.sdp, places,
    states: [connection.connectionState, connection.iceConnectionState, connection.iceGatheringState,
      connection.signalingState]});
})()"""

SESSION, MIRROR = "demo.room.session", "demo.room.mirror"


class DemoTab:
    """The actions of a person on the demo page."""

    name = ""

    def enter(self, link, name):
        """Opens the link of a room."""
        self.name = name
        self.open(link)
        self.until("document.getElementById('state')?.className === 'pill ready'")
        self.evaluate(f"document.getElementById('name').value = {json.dumps(name)}")

    def set(self, mode, path, source=""):
        """Ends a running session, then chooses the tab of a system and its settings."""
        if self.evaluate("!!demo.room.session"):
            self.evaluate("demo.room.hangUp()")
        self.evaluate(f"document.querySelector('[data-mode={mode}]').click()")
        if mode == "check":
            return
        self.until("document.getElementById('source').options.length > 0")
        self.evaluate(f"document.getElementById('relay-only').checked = {json.dumps(path.is_relay)}; 0")
        self.choose("transport", path.transport)
        if source:
            self.choose("source", source)

    def write(self, text):
        """Sends a line of chat."""
        self.evaluate(f"document.getElementById('chat-text').value = {json.dumps(text)};"
                      "document.getElementById('chat-form').requestSubmit()")

    def until_in_room(self):
        """Waits until the server has admitted this tab to the room."""
        self.until("document.getElementById('state').textContent === 'in the room'")

    def until_said(self, text, seconds=10):
        """Waits for words under the buttons."""
        self.until(f"document.getElementById('room-words').textContent.includes({json.dumps(text)})", seconds)

    def until_read(self, text):
        """Waits for a line of chat."""
        self.until(f"document.getElementById('chat-lines').innerText.includes({json.dumps(text)})")

    def figures(self, session=SESSION):
        """Figures of the peers of a session."""
        return json.loads(self.evaluate(FIGURES % session))

    def learn(self):
        """The panel for learners shows both descriptions, all states and the selected pair, as the browser has them."""
        end = time.monotonic() + 5
        while True:
            told = json.loads(self.evaluate(TOLD))
            shown = {"local": self.text("sdp-local"), "remote": self.text("sdp-remote")}
            states, path = self.text("states"), self.text("path")
            wanted = "connection {}, ICE {}, gathering {}, signalling {}".format(*told["states"])
            if all(shown[side] == told[side] and "\r\nm=" in shown[side] for side in shown) and states == wanted \
                    and told["places"] and all(place in path for place in told["places"]):
                return {"places": told["places"], "states": states}
            if time.monotonic() > end:
                raise Failure(f"the panel for learners has {states!r}, {path!r}, {shown}; the browser {told}")
            time.sleep(0.2)

    def until_more(self, count=20, seconds=15):
        """Waits until more frames of the first peer have been decoded."""
        before = (self.figures() or [{"frames": 0}])[0]["frames"]
        self.until_async(f"{FIGURES % SESSION}.then((text) => JSON.parse(text)[0]?.frames >= {before + count})",
                         seconds)

    def arrived(self, path, session=SESSION, audio=True):
        """Waits until the first peer has received enough; checks its path. Returns its figures."""
        end = time.monotonic() + 25
        while True:
            figures = self.figures(session)
            got = figures[0] if figures else {"audio": 0, "frames": 0, "pair": "none"}
            if (got["audio"] >= LEAST["audio"] or not audio) and got["frames"] >= LEAST["frames"]:
                break
            if time.monotonic() > end:
                raise Failure(f"{self.name} has only {figures}; {self.text('room-words')}")
            time.sleep(0.2)
        path.demand(got["pair"])
        return got


class Path:
    """The page's settings of a path, and the check of the selected pair.

    `has_nats`: both sides are behind NATs that only a relay overcomes; else they reach each other.
    """

    def __init__(self, transport, is_relay, has_nats=False):
        self.transport, self.is_relay, self.has_nats = transport, is_relay, has_nats

    def __str__(self):
        return f"over {self.transport}, {'relay only' if self.is_relay else 'any path'}"

    def demand(self, pair):
        """Fails if the pair, such as `relay/tls → relay`, contradicts the settings."""
        local, _, remote = pair.partition(" → ")
        is_relayed = local.startswith("relay")
        if self.is_relay and not is_relayed:
            raise Failure(f"the path is {pair}, not a relay")
        if is_relayed and self.transport != "any" and "/" in local and local != f"relay/{self.transport}":
            raise Failure(f"the path is {pair}, not over {self.transport}")
        if not self.is_relay and not self.has_nats and is_relayed:
            raise Failure(f"the path is {pair} although direct paths are allowed")
        if self.has_nats and not is_relayed and not remote.startswith("relay"):
            raise Failure(f"the path is {pair}: these NATs are not symmetric")


class DemoChromium(DemoTab, ChromiumTab):
    """A tab of Chromium with the demo page."""


class DemoFirefox(DemoTab, FirefoxTab):
    """A window of Firefox with the demo page."""
