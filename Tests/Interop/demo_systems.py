"""The five systems of the demo page, each with the tabs of two or three people. Used by demo.py and demo_nat.py."""

import contextlib
import hashlib
import json
import os
import tempfile

from report import Failure
from tabs import ChromiumTab

FILE_BYTES = 1 << 20


@contextlib.contextmanager
def _in_room(mode, path, tabs, source=""):
    """Sets the tabs up, and hangs up at the end."""
    try:
        for tab in tabs:
            tab.set(mode, path, source)
        yield
    finally:
        for tab in tabs:
            tab.evaluate("demo.room.hangUp()")


def _call(path, one, two):
    """Two people enter; the second one calls. Returns the figures of both."""
    one.click("start")
    one.until_in_room()
    two.click("start")
    return [one.arrived(path), two.arrived(path)]


def one_way(path, star, early, late, source=""):
    """System 1: a recorder, a watcher who waits for it, and one who comes when the first one is served."""
    with _in_room("broadcast", path, (star, early, late), source):
        early.click("watch")
        early.until_in_room()
        star.click("start")
        first = early.arrived(path)
        late.click("watch")
        second = late.arrived(path)
        star.until("document.getElementById('people-count').textContent.includes('2 watching')")
        early.click("hang-up")
        star.until("document.getElementById('people-count').textContent.includes('1 watching')")
        if len(star.figures()) != 1:
            raise Failure("the star keeps the peer of a watcher who has left")
        return {"first": first, "late": second}


def call_of_two(path, one, two, third=None, source=""):
    """System 2: both see and hear each other, with a heartbeat; a third one is told that the call is full.

    Both see descriptions, states and the selected pair as the browser has them.
    """
    with _in_room("call", path, (one, two, *([third] if third else [])), source):
        figures = _call(path, one, two)
        if third:
            third.click("start")
            third.until_said("Two people are in this call")
        one.until("document.getElementById('path').textContent.includes('Heartbeat')", 10)
        words = one.text("path")
        learned = [tab.learn() for tab in (one, two)]
        two.click("hang-up")
        one.until_said(f"{two.name} has hung up")
        return {"ends": figures, "words": words, "learned": learned}


def chat_and_file(path, one, two, source=""):
    """System 3: media, chat both ways, and a file of 1 MiB whose checksum both sides and this test compare."""
    with _in_room("data", path, (one, two), source), tempfile.TemporaryDirectory() as folder:
        figures = _call(path, one, two)
        for tab in (one, two):
            tab.until("demo.room.panels.peers[0]?.channel.readyState === 'open'", 15)
        for tab, other, text in ((one, two, "<b>hello</b>"), (two, one, "and back")):
            tab.write(text)
            other.until_read(text)
        name = os.path.join(folder, "bulk<b>.bin")
        content = os.urandom(FILE_BYTES)
        with open(name, "wb") as file:
            file.write(content)
        one.choose_file("file", name)
        two.until(f"document.querySelector('#files li[data-intact=true][data-size=\"{FILE_BYTES}\"] a')", 30)
        one.until("document.getElementById('file-words').dataset.intact === 'true'")
        checksum = hashlib.sha256(content).hexdigest()[:16]
        for words in (one.text("file-words"), two.text("files")):
            if checksum not in words or "bulk<b>.bin" not in words:
                raise Failure(f"not the checksum {checksum} or not the name: {words}")
        with open(two.download("#files a"), "rb") as file:
            if file.read() != content:
                raise Failure("the downloaded file differs")
        return {"words": one.text("file-words"), "ends": figures}


def capture(path, one, two, source=""):
    """System 4: one side captures, the other side receives. Both record; the recording plays and is downloaded."""
    with _in_room("capture", path, (one, two), source and "test"):
        if source:
            one.choose("source", source)
        one.click("start")
        one.until_in_room()
        two.click("start")
        figures = two.arrived(path)
        kinds = sorted(set(one.texts("#room-candidates tr[data-type] td:first-child")))
        if not kinds:
            raise Failure("no candidate is listed")
        # A Firefox window behind another one takes ten seconds to record what it sends.
        _record({one: "local", two: "remote"} if isinstance(one, ChromiumTab) else {two: "remote"})
        two.front()
        _plays(two)
        return {"ends": [figures], "kinds": kinds, "bytes": _webm(two.download("#recording a"))}


def _record(sources):
    """Records for a second: each tab its own media (local) or the received media (remote)."""
    link = "document.querySelector('#recording video')?.src ?? ''"
    before = {tab: tab.evaluate(link) for tab in sources}
    for tab, source in sources.items():
        tab.choose("record-source", source)
        tab.click("record")
    for tab in sources:
        tab.until("/: [1-9]/.test(document.getElementById('record-words').textContent)")
        tab.click("record")
        # The recording of an earlier call stays until there is another one.
        tab.until(f"({link}) !== {json.dumps(before[tab])}")


def _plays(tab):
    """Fails unless the recording plays."""
    video = "document.querySelector('#recording video')"
    tab.evaluate(f"{video}.play()")
    tab.until(f"{video}.currentTime > 0.3 && {video}.videoWidth > 0")


def _webm(path):
    with open(path, "rb") as file:
        head = file.read(4)
    if head != b"\x1a\x45\xdf\xa3":
        raise Failure(f"the download is no WebM: {head.hex()}")
    return os.path.getsize(path)


def live_page(path, star, fan, late, source=""):
    """System 5: a star and two fans, one late; texts go to everyone through the room."""
    with _in_room("live", path, (star, fan, late), source):
        star.click("start")
        star.until_in_room()
        fan.click("watch")
        first = fan.arrived(path)
        late.click("watch")
        second = late.arrived(path)
        fan.write("bravo")
        for tab in (star, late):
            tab.until_read("bravo")
        return {"first": first, "late": second}
