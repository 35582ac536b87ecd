"""A call between two pages: passes the signalling, waits until everything has arrived, and checks the result."""

import time

from report import Failure

AUDIO_PACKETS = 50
VIDEO_FRAMES = 30
BULK_BYTES = 1 << 20


def gather(page, servers, policy="relay", seconds=20):
    """Makes one page gather its candidates; returns the page's progress (`gathered`, `errors`)."""
    page.call("start", {"iceServers": servers, "policy": policy, "media": False})
    try:
        page.call("offer")
        deadline = time.monotonic() + seconds
        while True:
            progress = page.call("poll", [])
            if progress["gathering"] == "complete" or time.monotonic() > deadline:
                return progress
            time.sleep(0.05)
    finally:
        page.call("stop")


def establish(caller, callee, servers, policy, seconds, enough):
    """Makes a call and waits for `enough(progress, progress)` or `seconds`; returns both ends' last progress.

    `servers` is a list of iceServers for each end.
    """
    pages = (caller, callee)
    for page, own in zip(pages, servers):
        page.call("start", {"iceServers": own, "policy": policy, "media": True}, seconds=30)
    offer = caller.call("offer")
    answer = callee.call("answer", offer)
    caller.call("accept", answer)
    waiting = [[], []]
    deadline = time.monotonic() + seconds
    while True:
        progress = []
        for index, page in enumerate(pages):
            state = page.call("poll", waiting[index])
            waiting[index] = []
            waiting[1 - index] += state.pop("candidates")
            progress.append(state)
        if enough(*progress) or time.monotonic() > deadline:
            return progress
        time.sleep(0.05)


def stop(*pages):
    """Ends the call."""
    for page in pages:
        page.call("stop")


def everything_arrived(*progress):
    """Whether both ends decoded audio and video and got the other's 1 MiB unchanged."""
    return not any(missing(end) for end in progress)


def missing(end):
    """Describes what this end has not received."""
    lacks = []
    if end["state"] != "connected":
        lacks.append(f"state is {end['state']}")
    if end["audio"]["packets"] < AUDIO_PACKETS:
        lacks.append(f"{end['audio']['packets']} audio packets of {AUDIO_PACKETS}")
    if end["audio"]["energy"] <= 0:
        lacks.append("silence")
    if end["video"]["frames"] < VIDEO_FRAMES:
        lacks.append(f"{end['video']['frames']} video frames of {VIDEO_FRAMES}")
    if not end["bulk"]["intact"]:
        lacks.append(f"{end['bulk']['received']} data channel bytes of {BULK_BYTES}, checksum not matched")
    return lacks


def figures(*progress):
    """Returns the numbers to print: of both ends, caller first."""
    return {
        "connected_ms": [end["connectedAfter"] for end in progress],
        "audio_bytes": [end["audio"]["bytes"] for end in progress],
        "audio_packets": [end["audio"]["packets"] for end in progress],
        "video_bytes": [end["video"]["bytes"] for end in progress],
        "video_frames": [end["video"]["frames"] for end in progress],
        "data_bytes": [end["bulk"]["received"] for end in progress],
        "round_trip_ms": [end["pair"] and end["pair"]["roundTripMilliseconds"] for end in progress],
        "pairs": [describe(end["pair"]) for end in progress],
    }


def describe(pair):
    """Returns a short form of a candidate pair, such as relay(udp)>relay."""
    if not pair or not pair["local"] or not pair["remote"]:
        return "none"
    protocol = pair["local"]["relayProtocol"]
    return f"{pair['local']['type']}{f'({protocol})' if protocol else ''}>{pair['remote']['type']}"


def fail(text, *progress):
    """Raises a failure with the numbers and both ends' errors."""
    failure = Failure(text)
    failure.figures = figures(*progress)
    failure.figures["errors"] = [end["errors"] for end in progress]
    raise failure


def demand_everything(*progress):
    """Fails unless everything arrived at both ends."""
    lacks = [f"{name}: {', '.join(missing(end))}" for name, end in zip(("caller", "callee"), progress) if missing(end)]
    if lacks:
        fail("; ".join(lacks), *progress)


def demand_relays(transport, *progress):
    """Fails unless both candidates of both ends are relays, reached over `transport` (None: over any)."""
    for index, end in enumerate(progress):
        pair = end["pair"]
        other = progress[1 - index]["pair"]
        if not pair or not pair["local"] or not pair["remote"]:
            fail("getStats names no selected candidate pair", *progress)
        protocol = pair["local"]["relayProtocol"]
        if pair["local"]["type"] != "relay" or (transport and protocol and protocol != transport):
            fail(f"the local candidate is {describe(pair)}, not a relay over {transport}", *progress)
        # A connectivity check may arrive before the signalling; then the other end's relay is peer-reflexive.
        if pair["remote"]["type"] == "prflx":
            if other and pair["remote"]["port"] == other["local"]["port"]:
                continue
        if pair["remote"]["type"] != "relay":
            fail(f"the remote candidate is {describe(pair)}, not a relay", *progress)
