"""Tabs of the demo page in Chromium and Firefox, for demo.py."""

import base64
import json
import os
import tempfile
import time

import chromium
from report import Failure

SIZES = {"desktop": (1280, 1000, False), "phone": (390, 844, True)}
# Audio packets and decoded frames that must arrive.
LEAST = {"audio": 50, "frames": 20}

# Figures of one peer of a session, or of the loopback's other end.
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


class Driver:
    """What tests do in a tab of the demo page, in any browser that has `evaluate` and `open`."""

    def enter(self, link, mode, transport, relay, source, name):
        """Opens the link and chooses the tab and its settings."""
        self.open(link)
        self.until("document.getElementById('state')?.className === 'pill ready'")
        self.evaluate(f"document.querySelector('[data-mode={mode}]').click()")
        if mode == "check":
            return
        self.until("document.getElementById('source').options.length > 1")
        self.evaluate(f"document.getElementById('name').value = {json.dumps(name)};"
                      f"document.getElementById('relay-only').checked = {json.dumps(relay)}; 0")
        self.choose("transport", transport)
        if source:
            self.choose("source", source)

    def choose(self, identifier, value):
        """Chooses an option of a list."""
        self.evaluate(f"document.getElementById('{identifier}').value = {json.dumps(value)};"
                      f"document.getElementById('{identifier}').onchange?.(); 0")

    def click(self, identifier):
        """Presses a button, which must be visible."""
        self.until(f"document.getElementById('{identifier}').checkVisibility()")
        self.evaluate(f"document.getElementById('{identifier}').click()")

    def text(self, identifier):
        """The text of an element."""
        return self.evaluate(f"document.getElementById('{identifier}').textContent")

    def figures(self, session="demo.room.session"):
        """Figures of the peers of a session."""
        return json.loads(self.evaluate(FIGURES % session))

    def arrived(self, session, transport, relay, audio=True):
        """Waits until the first peer has received enough; checks its path."""
        end = time.monotonic() + 25
        while True:
            figures = self.figures(session)
            got = figures[0] if figures else {"audio": 0, "frames": 0, "pair": "none"}
            if (got["audio"] >= LEAST["audio"] or not audio) and got["frames"] >= LEAST["frames"]:
                break
            if time.monotonic() > end:
                raise Failure(f"only {figures}; {self.text('room-words')}")
            time.sleep(0.2)
        if relay and not got["pair"].startswith("relay"):
            raise Failure(f"the path is {got['pair']}, not a relay")
        if relay and transport != "any" and "/" in got["pair"] and f"relay/{transport}" not in got["pair"]:
            raise Failure(f"the path is {got['pair']}, not over {transport}")
        if not relay and got["pair"].startswith("relay"):
            raise Failure(f"the path is {got['pair']} though any was allowed")
        return got

    def until(self, expression, seconds=10):
        """Waits until an expression is true."""
        self.until_async(f"(async () => !!({expression}))()", seconds)

    def until_async(self, expression, seconds=10):
        """Waits until a promise gives true."""
        end = time.monotonic() + seconds
        while self.evaluate(expression) is not True:
            if time.monotonic() > end:
                raise Failure(f"not true in {seconds} s: {expression}; the page: {self.evaluate('document.body?.innerText')}")
            time.sleep(0.1)


class Tab(Driver, chromium.Page):
    """A tab of Chromium."""

    def __init__(self, browser):
        # A context of its own: nothing of sessionStorage is shared, and closing it closes its connections.
        target = browser.request("Target.createTarget", {"url": "about:blank"}, 20)["targetId"]
        session = browser.request("Target.attachToTarget", {"targetId": target, "flatten": True}, 10)["sessionId"]
        super().__init__(browser, session, target)
        self.resize(*SIZES["desktop"])
        browser.request("Page.enable", {}, 10, session)

    def open(self, url):
        """Loads a page."""
        self.browser.request("Page.navigate", {"url": url}, 20, self.session)
        self.until("document.readyState === 'complete'", 20)

    def resize(self, width, height, is_mobile):
        """Sets the size of the window."""
        self.browser.request(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 2 if is_mobile else 1, "mobile": is_mobile}, 10, self.session)

    def scheme(self, name):
        """Chooses light or dark."""
        self.browser.request(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]}, 10, self.session)

    def picture(self, path):
        """Writes a picture of the whole page."""
        data = self.browser.request(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True}, 30, self.session)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def choose_file(self, identifier, path):
        """Gives a file to an input, as a person's choice does."""
        root = self.browser.request("DOM.getDocument", {"depth": 0}, 10, self.session)["root"]["nodeId"]
        node = self.browser.request("DOM.querySelector", {"nodeId": root, "selector": f"#{identifier}"}, 10, self.session)["nodeId"]
        self.browser.request("DOM.setFileInputFiles", {"files": [path], "nodeId": node}, 10, self.session)

    def download(self, selector):
        """Follows a download link; returns the number of bytes of the file."""
        folder = tempfile.mkdtemp(dir=self.browser.directory)
        self.browser.request("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": folder}, 10)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        end = time.monotonic() + 10
        while time.monotonic() < end:
            files = [name for name in os.listdir(folder) if not name.endswith(".crdownload")]
            if files and os.path.getsize(os.path.join(folder, files[0])) > 0:
                with open(os.path.join(folder, files[0]), "rb") as file:
                    head = file.read(4)
                if head != b"\x1a\x45\xdf\xa3":
                    raise Failure(f"the download is no WebM: {head.hex()}")
                return os.path.getsize(os.path.join(folder, files[0]))
            time.sleep(0.1)
        raise Failure("nothing was downloaded")


class FoxTab(Driver):
    """A window of Firefox."""

    def __init__(self, browser):
        self.browser = browser
        self.context = browser.request("browsingContext.create", {"type": "window"}, 20)["context"]

    def open(self, url):
        """Loads a page."""
        self.browser.request("browsingContext.navigate", {"context": self.context, "url": url, "wait": "complete"}, 30)

    def evaluate(self, expression, seconds=20):
        """Evaluates an expression, awaiting it if it is a promise."""
        result = self.browser.request(
            "script.evaluate", {"expression": expression, "target": {"context": self.context}, "awaitPromise": True,
                                "userActivation": True}, seconds)
        if result["type"] == "exception":
            raise RuntimeError("page: " + result["exceptionDetails"].get("text", "?"))
        return result["result"].get("value")
