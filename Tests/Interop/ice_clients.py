#!/usr/bin/python3
"""ICE agents of other projects with relayed candidates only: aioice and aiortc (PyPI), and libnice.

Each pair of agents connects over UDP, TCP and TLS, and the received data is compared byte for byte. aioice's and
aiortc's packages are fetched once, pinned (requirements.txt), into a folder under .build; if PyPI cannot be reached
and the packages are missing, their cases are skipped. Exit status: the number of failed cases.
"""

import asyncio
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import isolation
import server
from certificates import Authority
from report import Failure, Report

HERE = pathlib.Path(__file__).parent
PACKAGES = pathlib.Path(server.REPOSITORY) / ".build" / "interop-python"
USER, PASSWORD = "alice", "correct horse"
HOST = "127.0.0.1"
INTERFACE = "10.77.0.2"  # libnice gathers no candidates for loopback
SECONDS = 30
TRANSPORTS = ("udp", "tcp", "tls")


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("ice_clients")
    if not isolation.isolated():
        fetch()  # before the script enters a namespace without a network
    isolation.enter(required=False)
    isolation.look_like_a_laptop()
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-ice-") as directory:
        authority = Authority(directory)
        os.environ["SSL_CERT_FILE"] = authority.root
        options = server.Options(hosts=[HOST, INTERFACE], users={USER: PASSWORD}, certificate=authority,
                                 allow_peers=["127.0.0.0/8"])
        with server.Server(arguments, options) as running:
            python_agents(report, options)
            nice_agents(report, options)
            report.run("the server still runs", lambda: None if running.alive() else _raise(Failure("it ended")))
            if report.failed:
                print(running.explain(), flush=True)
    return report.finish()


def fetch():
    """Fetches the pinned packages, unless they are installed."""
    wanted = (HERE / "requirements.txt").read_text(encoding="utf-8")
    mark = PACKAGES / hashlib.sha256((wanted + sys.version).encode()).hexdigest()[:16]
    if mark.exists():
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    result = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location",
         "--root-user-action=ignore", "--only-binary=:all:", "--target", str(PACKAGES), "-r",
         str(HERE / "requirements.txt")],
        capture_output=True, text=True, check=False, timeout=300)
    if result.returncode == 0:
        mark.touch()
    else:
        print(f"NOTE: pip: {result.stderr.strip()[-300:]}", flush=True)


def port(options, transport):
    """Returns the server's port for a transport."""
    return options.tls_port if transport == "tls" else options.port


# aioice and aiortc

def python_agents(report, options):
    """Runs the cases of the packages from PyPI."""
    sys.path.insert(0, str(PACKAGES))
    try:
        import aioice  # pylint: disable=import-outside-toplevel,unused-import
        import aiortc  # pylint: disable=import-outside-toplevel,unused-import
    except ImportError as error:
        report.skip("aioice and aiortc", f"they could not be fetched from PyPI ({error}); NOTHING WAS TESTED WITH THEM")
        return
    for transport in TRANSPORTS:
        report.run(f"aioice, a channel to a peer, {transport}", lambda t=transport: run(aioice_echo(options, t)))
    for first in TRANSPORTS:
        for second in TRANSPORTS:
            report.run(f"aioice, {first} to {second}", lambda a=first, b=second: run(aioice_call(options, a, b)))
    for transport in TRANSPORTS:
        report.run(f"aiortc, data channel, {transport}", lambda t=transport: run(aiortc_call(options, t)))


def run(case):
    """Runs a coroutine within the time limit."""
    async def limited():
        try:
            return await asyncio.wait_for(case, SECONDS)
        except asyncio.TimeoutError:
            raise Failure(f"no end after {SECONDS} s") from None
        except ConnectionError as error:
            raise Failure(f"{type(error).__name__}: {error}") from None
    return asyncio.run(limited())


async def aioice_echo(options, transport):
    """Tests aioice's TURN client alone: it binds a channel to a peer that sends everything back."""
    from aioice import turn  # pylint: disable=import-outside-toplevel
    loop = asyncio.get_running_loop()
    peer, _ = await loop.create_datagram_endpoint(_Echo, local_addr=(HOST, 0))
    client, heard = await turn.create_turn_endpoint(
        _Heard, server_addr=(HOST, port(options, transport)), username=USER, password=PASSWORD,
        ssl=transport == "tls", transport="udp" if transport == "udp" else "tcp", lifetime=60)
    try:
        messages = [os.urandom(size) for size in (1, 2, 3, 4, 100, 1200) * 10]
        for message in messages:
            client.sendto(message, peer.get_extra_info("sockname"))
        for expected in messages:
            data = await asyncio.wait_for(heard.queue.get(), 5)
            if data != expected:
                raise Failure(f"{len(expected)} bytes came back as {len(data)} others")
        relayed = client.get_extra_info("sockname")
        return {"relayed": f"{relayed[0]}:{relayed[1]}", "messages": len(messages)}
    finally:
        client.close()
        peer.close()


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


class _Heard(asyncio.DatagramProtocol):
    def __init__(self):
        self.queue = asyncio.Queue()

    def datagram_received(self, data, addr):
        self.queue.put_nowait(data)


async def aioice_call(options, first, second):
    """Connects two agents, relay only."""
    import aioice  # pylint: disable=import-outside-toplevel
    from aioice.ice import TransportPolicy  # pylint: disable=import-outside-toplevel

    def agent(transport, controlling):
        return aioice.Connection(
            ice_controlling=controlling, turn_server=(HOST, port(options, transport)), turn_username=USER,
            turn_password=PASSWORD, turn_ssl=transport == "tls",
            turn_transport="udp" if transport == "udp" else "tcp", use_ipv6=False,
            transport_policy=TransportPolicy.RELAY)
    ends = agent(first, True), agent(second, False)
    try:
        for end in ends:
            await end.gather_candidates()
        for end, other in (ends, ends[::-1]):
            if [candidate.type for candidate in other.local_candidates] != ["relay"]:
                raise Failure(f"candidates: {other.local_candidates}")
            for candidate in other.local_candidates:
                await end.add_remote_candidate(candidate)
            await end.add_remote_candidate(None)
            end.remote_username, end.remote_password = other.local_username, other.local_password
        start = time.monotonic()
        await asyncio.gather(*(end.connect() for end in ends))
        connected = time.monotonic() - start
        for number in range(50):
            message = os.urandom(1 + number * 20)
            for end, other in (ends, ends[::-1]):
                await end.send(message)
                if await other.recv() != message:
                    raise Failure("the received bytes differ from the sent ones")
        return {"connected_ms": round(connected * 1000)}
    finally:
        await asyncio.gather(*(end.close() for end in ends))


async def aiortc_call(options, transport):
    """Connects two peer connections, relay only: a data channel carries a megabyte each way."""
    import aiortc  # pylint: disable=import-outside-toplevel
    from aiortc.rtcconfiguration import RTCIceTransportPolicy  # pylint: disable=import-outside-toplevel
    scheme = "turns" if transport == "tls" else "turn"
    url = f"{scheme}:{HOST}:{port(options, transport)}?transport={'udp' if transport == 'udp' else 'tcp'}"
    ends = [aiortc.RTCPeerConnection(aiortc.RTCConfiguration(
        iceServers=[aiortc.RTCIceServer(urls=url, username=USER, credential=PASSWORD)],
        iceTransportPolicy=RTCIceTransportPolicy.RELAY)) for _ in range(2)]
    payload = os.urandom(1 << 20)
    pieces = [payload[offset:offset + 16384] for offset in range(0, len(payload), 16384)]
    done = asyncio.get_running_loop().create_future()
    received = bytearray()

    @ends[1].on("datachannel")
    def on_channel(channel):
        @channel.on("message")
        def on_message(message):
            channel.send(message)  # back again

    channel = ends[0].createDataChannel("turnpike")

    @channel.on("open")
    def on_open():
        for piece in pieces:
            channel.send(piece)

    @channel.on("message")
    def on_message(message):
        received.extend(message)
        if len(received) >= len(payload) and not done.done():
            done.set_result(None)

    try:
        await ends[0].setLocalDescription(await ends[0].createOffer())
        await ends[1].setRemoteDescription(ends[0].localDescription)
        await ends[1].setLocalDescription(await ends[1].createAnswer())
        await ends[0].setRemoteDescription(ends[1].localDescription)
        for end in ends:
            kinds = {line.split(" typ ")[1].split()[0] for line in end.localDescription.sdp.splitlines()
                     if line.startswith("a=candidate")}
            if kinds != {"relay"}:
                raise Failure(f"candidates of the kinds {kinds}")
        await done
        if bytes(received) != payload:
            raise Failure("the echoed bytes differ from the sent ones")
        return {"bytes": len(received)}
    finally:
        await asyncio.gather(*(end.close() for end in ends))


# libnice

def nice_agents(report, options):
    """Runs the cases of libnice, each in its own process, because GLib's loop and asyncio's cannot be combined."""
    check = subprocess.run([sys.executable, str(HERE / "nice_call.py"), "--check"], capture_output=True, text=True,
                           check=False)
    if check.returncode != 0:
        report.skip("libnice", f"gir1.2-nice-0.1 and python3-gi are not installed ({check.stderr.strip()[-100:]})")
        return
    for transport in TRANSPORTS:
        report.run(f"libnice, {transport}", lambda t=transport: nice(options, t))


def nice(options, transport):
    """Connects two agents of libnice in one process."""
    command = [sys.executable, str(HERE / "nice_call.py"), transport, INTERFACE, str(port(options, transport)), USER, PASSWORD]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"no end after {SECONDS} s") from None
    if result.returncode != 0:
        raise Failure(f"status {result.returncode}: {(result.stdout + result.stderr).strip()[-400:]}")
    return {"said": result.stdout.strip()}


def _raise(failure):
    raise failure


if __name__ == "__main__":
    sys.exit(main())
