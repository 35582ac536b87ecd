"""Tabs with pages of the admin endpoint, in Chromium and Firefox: shared by the suites of dashboard and demo page."""

import base64
import json
import os
import tempfile
import time

import chromium
from report import Failure

SIZES = {"desktop": (1280, 1000, False), "phone": (390, 844, True)}


# The first element with one of these ids that can be pressed, also in shadow trees: Firefox's warnings have their
# buttons there.
FIND = """((ids) => {
  const fits = (one) => ids.includes(one.id) && one.checkVisibility() && !one.disabled;
  const find = (root) => [...root.querySelectorAll("*")].reduce((found, one) =>
    found ?? (fits(one) ? one : one.shadowRoot && find(one.shadowRoot)), null);
  return find(document);
})(%s)"""


class Tab:
    """The actions of a test in a tab; a browser's class adds `evaluate`."""

    def click(self, identifier):
        """Presses a button, which must be visible."""
        self.until(f"document.getElementById('{identifier}').checkVisibility()")
        self.evaluate(f"document.getElementById('{identifier}').click()")

    def choose(self, identifier, value):
        """Chooses an option of a list."""
        self.evaluate(f"document.getElementById('{identifier}').value = {json.dumps(value)};"
                      f"document.getElementById('{identifier}').onchange?.(); 0")

    def text(self, identifier):
        """The text of an element."""
        return self.evaluate(f"document.getElementById('{identifier}').textContent")

    def texts(self, selector):
        """The texts of all elements that a selector finds."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        return json.loads(self.evaluate(f"JSON.stringify({found}.map((one) => one.textContent))"))

    def give_token(self, token):
        """Enters the token in the page's dialog."""
        self.until("document.getElementById('token-dialog')?.open")
        self.evaluate(f"document.getElementById('token').value = {json.dumps(token)};"
                      "document.querySelector('#token-dialog button').click()")

    def resources(self):
        """The addresses of everything that the page has loaded."""
        return json.loads(self.evaluate(
            "JSON.stringify(performance.getEntriesByType('resource').map((entry) => entry.name))"))

    def until(self, expression, seconds=10):
        """Waits until an expression is true."""
        self.until_async(f"(async () => !!({expression}))()", seconds)

    def until_async(self, expression, seconds=10):
        """Waits until a promise resolves to true."""
        end = time.monotonic() + seconds
        while self.evaluate(expression) is not True:
            if time.monotonic() > end:
                page = self.evaluate("document.body?.innerText")
                raise Failure(f"not true in {seconds} s: {expression}; the page: {page}")
            time.sleep(0.1)


class ChromiumTab(Tab, chromium.Page):
    """A tab of Chromium."""

    def __init__(self, browser):
        # sessionStorage is a tab's own, and closing the tab closes its connections.
        target = browser.request("Target.createTarget", {"url": "about:blank"}, 20)["targetId"]
        session = browser.request("Target.attachToTarget", {"targetId": target, "flatten": True}, 10)["sessionId"]
        super().__init__(browser, session, target)
        self.resize(*SIZES["desktop"])
        self._ask("Page.enable")

    def open(self, url):
        """Loads a page."""
        self._ask("Page.navigate", {"url": url}, 20)
        self.until("document.readyState === 'complete'", 20)

    def front(self):
        """Shows the tab: browsers do not play muted video in hidden tabs."""
        self._ask("Page.bringToFront")

    def open_untrusted(self, url):
        """Loads a page whose certificate the browser does not trust, as a person does; returns the warning."""
        self._ask("Page.navigate", {"url": url}, 20)
        self.until("document.getElementById('proceed-link')", 20)
        warning = self.evaluate("document.querySelector('h1').innerText")
        self.evaluate("document.getElementById('details-button').click();"
                      "document.getElementById('proceed-link').click()")
        self.until("location.protocol === 'https:' && document.readyState === 'complete'", 20)
        return warning

    def resize(self, width, height, is_mobile):
        """Sets the size of the window."""
        scale = 2 if is_mobile else 1
        self._ask("Emulation.setDeviceMetricsOverride",
                  {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": is_mobile})

    def scheme(self, name):
        """Chooses light or dark."""
        self._ask("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})

    def picture(self, path):
        """Writes a picture of the whole page."""
        data = self._ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True}, 30)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def choose_file(self, identifier, path):
        """Gives a file to an input, as a person's choice does."""
        root = self._ask("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
        node = self._ask("DOM.querySelector", {"nodeId": root, "selector": f"#{identifier}"})["nodeId"]
        self._ask("DOM.setFileInputFiles", {"files": [path], "nodeId": node})

    def download(self, selector):
        """Follows a download link; returns the file's path."""
        folder = tempfile.mkdtemp(dir=self.browser.directory)
        self.browser.request("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": folder}, 10)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        return _downloaded(folder)

    def _ask(self, method, parameters=None, seconds=10):
        return self.browser.request(method, parameters or {}, seconds, self.session)


class FirefoxTab(Tab):
    """A window of Firefox."""

    def __init__(self, browser):
        self.browser = browser
        self.context = browser.request("browsingContext.create", {"type": "window"}, 20)["context"]

    def close(self):
        """Closes the window."""
        self.browser.request("browsingContext.close", {"context": self.context}, 10)

    def open(self, url):
        """Loads a page."""
        self.browser.request("browsingContext.navigate", {"context": self.context, "url": url, "wait": "complete"}, 30)

    def evaluate(self, expression, seconds=20):
        """Evaluates an expression, awaiting it if it is a promise."""
        return self._evaluate(expression, seconds).get("value")

    def front(self):
        """Shows the window."""
        self.browser.request("browsingContext.activate", {"context": self.context}, 10)

    def open_untrusted(self, url):
        """Loads a page whose certificate the browser does not trust, as a person does; returns the warning."""
        try:
            self.open(url)
        except RuntimeError:
            pass  # the warning is an error for the protocol
        self.until("document.documentURI.startsWith('about:certerror')", 20)
        warning = self.evaluate("document.title")
        for buttons in (("advanced-button", "advancedButton"), ("exception-button", "exceptionDialogButton")):
            self.until(FIND % json.dumps(buttons))
            self.evaluate(f"{FIND % json.dumps(buttons)}.click()")
        self.until("document.documentURI.startsWith('https:') && document.readyState === 'complete'", 20)
        return warning

    def picture(self, path):
        """Writes a picture of the window."""
        data = self.browser.request("browsingContext.captureScreenshot", {"context": self.context}, 30)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def choose_file(self, identifier, path):
        """Gives a file to an input, as a person's choice does."""
        node = self._evaluate(f"document.getElementById('{identifier}')", 10)
        self.browser.request("input.setFiles", {"context": self.context, "element": {"sharedId": node["sharedId"]},
                                                "files": [path]}, 10)

    def download(self, selector):
        """Follows a download link; returns the file's path."""
        before = set(os.listdir(self.browser.downloads))
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        return _downloaded(self.browser.downloads, before)

    def _evaluate(self, expression, seconds):
        result = self.browser.request(
            "script.evaluate", {"expression": expression, "target": {"context": self.context}, "awaitPromise": True,
                                "userActivation": True}, seconds)
        if result["type"] == "exception":
            raise RuntimeError("page: " + result["exceptionDetails"].get("text", "?"))
        return result["result"]


def _downloaded(folder, before=()):
    """Waits for a new file that is complete and not empty; returns its path."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        names = set(os.listdir(folder)) - set(before)
        parts = {name for name in names if name.endswith((".crdownload", ".part"))}
        for name in names - parts if not parts else ():
            path = os.path.join(folder, name)
            if os.path.getsize(path) > 0:
                return path
        time.sleep(0.1)
    raise Failure(f"nothing was downloaded: {os.listdir(folder)}")
