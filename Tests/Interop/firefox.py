"""Controls Firefox over WebDriver BiDi, which it supports directly, without geckodriver."""

import ctypes
import json
import os
import shutil
import subprocess
import threading
import time

import certificates
import processes

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")

PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.gmp-manager.updateEnabled": False,
    "network.manage-offline-status": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "services.settings.server": "data:,",
    "extensions.update.enabled": False,
    "dom.min_background_timeout_value": 4,
    "remote.active-protocols": 1,
    "browser.download.folderList": 2,
    "browser.download.useDownloadDir": True,
    "browser.download.always_ask_before_handling_new_types": False,
}

# Firefox ESR 140 has onicecandidateerror but never fires it; 153 is the first version that was seen to fire it.
ERROR_EVENTS_SINCE = 153


def installed():
    """Returns the path of Firefox, or None. (A snap cannot use a temporary profile.)"""
    for name in ("firefox-esr", "firefox"):
        path = shutil.which(name)
        if path and "snap" not in os.path.realpath(path):
            return path
    return None


def drivable():
    """Returns the reason why Firefox cannot be controlled here, or None if it can."""
    if not installed():
        return "Firefox is not installed"
    try:
        import websocket  # noqa: F401
    except ImportError:
        return "Python's websocket module (Debian: python3-websocket) is not installed"
    return None


class Firefox(processes.Owned):
    """A running headless Firefox with its own profile that trusts the CA `root`; a context manager."""

    name = "firefox"

    def __init__(self, root=None, prefix=()):
        super().__init__("firefox", "browser-log.txt")
        self._socket = None
        self._number = 0
        profile = os.path.join(self.directory, "profile")
        self.downloads = os.path.join(self.directory, "downloads")
        for folder in (profile, self.downloads):
            os.makedirs(folder)
        if root:
            certificates.trust_in_nss(profile, root)
        with open(os.path.join(profile, "user.js"), "w", encoding="ascii") as file:
            for key, value in {**PREFERENCES, "browser.download.dir": self.downloads}.items():
                file.write(f"user_pref({json.dumps(key)}, {json.dumps(value)});\n")
        self.begin(lambda: self._start(profile, list(prefix)))

    def page(self):
        """Opens a window with the call page."""
        context = self.request("browsingContext.create", {"type": "window"}, 20)["context"]
        parameters = {"context": context, "url": f"file://{PAGE}", "wait": "complete"}
        self.request("browsingContext.navigate", parameters, 20)
        return Page(self, context)

    def close(self):
        """Ends the browser and removes its profile."""
        if self._socket is not None:
            self._socket.close()
        super().close()

    def request(self, method, parameters, seconds):
        """Sends one BiDi command and waits for its answer; events in between are dropped."""
        import websocket
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        deadline = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                answer = json.loads(self._socket.recv())
            except websocket.WebSocketTimeoutException:
                raise TimeoutError(f"Firefox did not answer {method}") from None
            if answer.get("id") != self._number:
                continue
            if answer.get("type") == "error":
                raise RuntimeError(f"Firefox refused {method}: {answer.get('error')}: {answer.get('message')}")
            return answer["result"]

    def _start(self, profile, prefix):
        import websocket
        environment = dict(os.environ, HOME=self.directory, TMPDIR=self.directory, MOZ_HEADLESS="1",
                           MOZ_DISABLE_CONTENT_SANDBOX="1", MOZ_CRASHREPORTER_DISABLE="1")
        command = prefix + [installed(), "--headless", "--no-remote", "--new-instance", "--profile", profile,
                            "--remote-debugging-port", "0", "about:blank"]
        self.process = processes.start(command, self.log, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       env=environment)
        ready = processes.wait_for_line(self.log, r"WebDriver BiDi listening on (ws://\S+)", self.process, 60)
        if not ready:
            raise RuntimeError(f"Firefox did not start\n{processes.tail(self.log, 8)}")
        connect = lambda: websocket.create_connection(  # noqa: E731
            ready.group(1) + "/session", timeout=20, suppress_origin=True)
        self._socket = _in_network_of(self.process.pid, connect) if prefix else connect()
        session = self.request("session.new", {"capabilities": {}}, 60)
        version = int(session["capabilities"]["browserVersion"].split(".")[0])
        self.tells_errors = version >= ERROR_EVENTS_SINCE


def _in_network_of(process, function):
    """Runs a function in a thread that is in another process's network namespace; sockets stay there."""
    result = []

    def run():
        with open(f"/proc/{process}/ns/net", "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        result.append(function())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if not result:
        raise RuntimeError("Firefox's network namespace cannot be entered")
    return result[0]


class Page:
    """A window with the call page. `call` runs one of its functions and returns the result."""

    def __init__(self, browser, context):
        self.browser = browser
        self.context = context

    def close(self):
        """Closes the window."""
        self.browser.request("browsingContext.close", {"context": self.context}, 10)

    def call(self, function, *arguments, seconds=20):
        """Runs `call.function(arguments…)` in the page."""
        listed = ", ".join(json.dumps(argument) for argument in arguments)
        expression = f"call.{function}({listed}).then((value) => JSON.stringify(value))"
        parameters = {"expression": expression, "target": {"context": self.context}, "awaitPromise": True,
                      "userActivation": True}
        result = self.browser.request("script.evaluate", parameters, seconds)
        if result["type"] == "exception":
            raise RuntimeError("page: " + result["exceptionDetails"].get("text", "?"))
        return json.loads(result["result"]["value"])
