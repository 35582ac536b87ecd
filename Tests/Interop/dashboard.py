#!/usr/bin/python3
"""Chromium opens the dashboard of a server with live sessions: it asks for the token, shows the sessions, ends one after
a question, and loads nothing from elsewhere. With `--pictures FOLDER` it writes pictures, light and dark, wide and narrow.

Exit status: the number of failed cases.
"""

import json
import os
import sys
import time
import urllib.request

import chromium
import isolation
import server
from report import Failure, Report
from tabs import SIZES, ChromiumTab

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Hostile"))
import client  # noqa: E402
import messages  # noqa: E402

ADMIN = "127.0.0.1:8478"
TOKEN = "dashboard-token"


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__, pictures="a folder for pictures")
    report = Report("dashboard")
    if arguments.server == "coturn" or not chromium.installed():
        report.skip("everything", "there is no Chromium, or the server is not the one that has a dashboard")
        return report.finish()
    isolation.enter(required=False)
    options = server.Options(
        users={"alice": "secret", "bob": "hunter2"}, allow_peers=["127.0.0.0/8"],
        settings={"admin.listen": ADMIN, "admin.token": TOKEN})
    with server.Server(arguments, options) as running, chromium.Chromium() as browser:
        sessions = [Session(running, "alice"), Session(running, "alice"), Session(running, "bob")]
        tab = ChromiumTab(browser)
        tab.open(f"http://{ADMIN}/")
        report.run("it asks for the token", lambda: token(tab))
        report.run("it shows the live sessions and filters them", lambda: shown(tab, sessions))
        report.run("it fits a phone and a desktop", lambda: sizes(tab, sessions, arguments.pictures))
        report.run("every text can be read, light and dark", lambda: readable(tab))
        report.run("it asks before it ends a session", lambda: ended(tab, sessions))
        report.run("every resource is from the server itself", lambda: own(tab))
        report.run("it says when the server is gone", lambda: gone(tab, running))
    return report.finish()


class Session:
    """A user with an allocation who sends to a peer."""

    def __init__(self, running, name):
        self.client = client.Client(("127.0.0.1", running.options.port), "127.0.0.1", name, running.options.users[name], 5)
        self.client.allocate()
        self.client.ask(messages.CREATE_PERMISSION, messages.peer("127.0.0.1", 9))
        self.client.ask(messages.CHANNEL_BIND, messages.attribute(messages.CHANNEL, b"\x40\x00\0\0") + messages.peer("127.0.0.1", 9))

    def send(self, count):
        """Sends ChannelData of 1,000 bytes."""
        for _ in range(count):
            self.client.socket.send(b"\x40\x00\x03\xe8" + bytes(1000))


def rows(tab):
    """The number of rows of sessions."""
    return tab.evaluate("document.querySelectorAll('#sessions tbody tr').length")


def token(tab):
    """The page asks for the token, refuses a wrong one, and takes the right one."""
    tab.give_token("wrong")
    tab.until("document.getElementById('token-dialog')?.open && !document.getElementById('token-problem').hidden")
    tab.give_token(TOKEN)
    tab.until("document.getElementById('state').textContent === 'ready'")


def shown(tab, sessions):
    """Three sessions are there; the filter leaves one; its rate follows the traffic."""
    tab.until("document.querySelectorAll('#sessions tbody tr').length === 3", 15)
    tab.evaluate("document.getElementById('filter').value = 'BO'; document.getElementById('filter').dispatchEvent(new Event('input'))")
    if rows(tab) != 1 or "bob" not in tab.evaluate("document.querySelector('#sessions tbody').innerText"):
        raise Failure("the filter does not show bob alone")
    end = time.monotonic() + 15
    while "kbit/s" not in tab.evaluate("document.querySelector('[data-name=to-peers]').textContent"):
        if time.monotonic() > end:
            raise Failure("the session shows no rate")
        sessions[2].send(20)
        time.sleep(0.2)
    tab.evaluate("document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))")


def sizes(tab, sessions, folder):
    """No size of window scrolls sideways. Writes pictures if there is a folder for them."""
    wait = 15 if not folder else 45
    end = time.monotonic() + wait
    while time.monotonic() < end and (folder or not tab.evaluate("document.querySelectorAll('#chart-traffic path').length")):
        for session in sessions:
            session.send(25)
        time.sleep(0.05)
    tab.until("document.querySelectorAll('#chart-traffic path').length === 4", 15)
    for name, size in SIZES.items():
        tab.resize(*size)
        time.sleep(0.3)
        wide = tab.evaluate("document.documentElement.scrollWidth")
        if wide > size[0]:
            raise Failure(f"{name}: {wide} points wide")
        for scheme in ("light", "dark") if folder else ():
            tab.scheme(scheme)
            time.sleep(0.5)
            tab.picture(os.path.join(folder, f"{name}-{scheme}.png"))
    tab.resize(*SIZES["desktop"])


# The smallest contrast (WCAG 2) of a visible text with its background, and the text.
CONTRAST = """(() => {
  const numbers = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const color = numbers(getComputedStyle(one).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() && !one.disabled &&
    [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
  const found = texts.map((one) => {
    const inSVG = one instanceof SVGElement;
    const color = getComputedStyle(one)[inSVG ? "fill" : "color"];
    const pair = [light(numbers(color)), light(behind(one))].sort((a, b) => b - a);
    return [(pair[0] + 0.05) / (pair[1] + 0.05), one.textContent.trim().slice(0, 40)];
  }).sort((a, b) => a[0] - b[0]);
  return JSON.stringify({count: found.length, least: found[0][0], text: found[0][1],
    background: getComputedStyle(document.body).backgroundColor});
})()"""


def readable(tab):
    """The contrast of each text is at least that of WCAG's level AA, and the two schemes differ."""
    found = {}
    for scheme in ("light", "dark"):
        tab.scheme(scheme)
        found[scheme] = json.loads(tab.evaluate(CONTRAST))
        if found[scheme]["least"] < 4.5:
            raise Failure(f"{scheme}: {found[scheme]}")
    tab.scheme("light")
    if found["light"]["background"] == found["dark"]["background"]:
        raise Failure(f"both schemes are the same: {found}")
    return {scheme: {"texts": one["count"], "least_contrast": round(one["least"], 1)} for scheme, one in found.items()}


def ended(tab, sessions):
    """The page asks before it ends a session: Cancel keeps the session, End ends it."""
    press = "[...document.querySelectorAll('#sessions tbody tr')].find((row) => row.innerText.includes('bob')).querySelector('button').click()"
    tab.evaluate(press)
    tab.until("document.getElementById('end-dialog').open")
    tab.evaluate("document.querySelector('#end-dialog button[value=cancel]').click()")
    time.sleep(0.3)
    if listed() != 3:
        raise Failure("the session ended although the dialog was cancelled")
    tab.evaluate(press)
    tab.until("document.getElementById('end-dialog').open")
    tab.evaluate("document.querySelector('#end-dialog button[value=end]').click()")
    tab.until("document.querySelectorAll('#sessions tbody tr').length === 2")
    if listed() != 2:
        raise Failure("the session is still there")
    try:
        sessions[2].client.end = time.monotonic() + 2
        sessions[2].client.ask(messages.REFRESH, messages.attribute(messages.LIFETIME, (600).to_bytes(4, "big")))
    except client.Refused as refused:
        if refused.args[0] != 437:
            raise Failure(f"the client's Refresh got {refused.args[0]}") from None
        return
    raise Failure("the client's Refresh succeeded")


def listed():
    """The number of live sessions that the API has."""
    request = urllib.request.Request(f"http://{ADMIN}/api/v1/sessions", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return len(json.load(answer)["sessions"])


def own(tab):
    """Every resource comes from the server itself."""
    names = tab.resources()
    strange = [name for name in names if not name.startswith(f"http://{ADMIN}/")]
    if strange or len(names) < 5:
        raise Failure(f"{strange or names}")


def gone(tab, running):
    """After the server has ended the page shows "no answer"."""
    running.close()
    tab.until("document.getElementById('state').textContent === 'no answer'", 30)


if __name__ == "__main__":
    sys.exit(main())
