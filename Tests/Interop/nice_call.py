#!/usr/bin/python3
"""Connects two agents of libnice by relayed candidates only and exchanges messages; started by ice_clients.py.

    nice_call.py udp|tcp|tls HOST PORT USER PASSWORD

libnice's "TLS" relays use an old dialect of Google's. GStreamer's `turns:` means TCP to the TLS port, and so does "tls"
here: the server must distinguish plain TURN from TLS there.
"""

import ctypes
import os
import sys

import gi

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice  # noqa: E402  pylint: disable=wrong-import-position

MESSAGES = 50
RECEIVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p,
                           ctypes.c_void_p)


class End:
    """One agent."""

    def __init__(self, controlling, transport, host, port, user, password, library):
        self.agent = Nice.Agent.new(GLib.MainContext.default(), Nice.Compatibility.RFC5245)
        self.agent.set_property("controlling-mode", controlling)
        self.agent.set_property("force-relay", True)
        self.agent.set_property("upnp", False)
        self.agent.set_property("ice-tcp", False)
        self.stream = self.agent.add_stream(1)
        kind = Nice.RelayType.UDP if transport == "udp" else Nice.RelayType.TCP
        self.agent.set_relay_info(self.stream, 1, host, port, user, password, kind)
        self.heard = []
        self.ready = False
        # The bindings omit the callback.
        self.callback = RECEIVE(self._receive)
        library.nice_agent_attach_recv.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p,
                                                   RECEIVE, ctypes.c_void_p]
        library.nice_agent_attach_recv(hash(self.agent), self.stream, 1, None, self.callback, None)

    def _receive(self, _agent, _stream, _component, count, data, _user):
        self.heard.append(ctypes.string_at(data, count))


def main():
    """Runs the call; exit status 0 if every message arrived."""
    if sys.argv[1:] == ["--check"]:
        return 0
    transport, host, port, user, password = sys.argv[1:]
    library = ctypes.CDLL("libnice.so.10")
    ends = [End(controlling, transport, host, int(port), user, password, library) for controlling in (True, False)]
    loop = GLib.MainLoop()
    gathered = []

    def on_gathered(_agent, _stream):
        gathered.append(1)
        if len(gathered) < 2:
            return
        for end, other in (ends, ends[::-1]):
            _, name, secret = other.agent.get_local_credentials(other.stream)
            end.agent.set_remote_credentials(end.stream, name, secret)
        for end, other in (ends, ends[::-1]):
            candidates = [c for c in other.agent.get_local_candidates(other.stream, 1)
                          if c.type == Nice.CandidateType.RELAYED]
            if not candidates:
                print("no relayed candidate")
                loop.quit()
                return
            end.agent.set_remote_candidates(end.stream, 1, candidates)

    def on_state(agent, _stream, _component, state):
        if state == Nice.ComponentState.FAILED:
            print("ICE failed")
            loop.quit()
        for end in ends:
            if end.agent == agent and state == Nice.ComponentState.READY:
                end.ready = True

    sent = [os.urandom(1 + 20 * number) for number in range(MESSAGES)]
    state = {"began": False}

    def tick():
        if all(end.ready for end in ends) and not state["began"]:
            state["began"] = True
            for message in sent:
                for end in ends:
                    # The typelib declares the buffer as a string, so bytes are passed to the library directly.
                    library.nice_agent_send.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint,
                                                        ctypes.c_char_p]
                    library.nice_agent_send(hash(end.agent), end.stream, 1, len(message), message)
        if all(len(end.heard) >= MESSAGES for end in ends):
            loop.quit()
            return False
        return True

    for end in ends:
        end.agent.connect("candidate-gathering-done", on_gathered)
        end.agent.connect("component-state-changed", on_state)
    for end in ends:
        end.agent.gather_candidates(end.stream)
    GLib.timeout_add(20, tick)
    GLib.timeout_add_seconds(20, loop.quit)
    loop.run()
    if not all(sorted(end.heard) == sorted(sent) for end in ends):
        print(f"of {MESSAGES} messages {[len(end.heard) for end in ends]} arrived; ready: {[end.ready for end in ends]}")
        return 1
    print(f"{MESSAGES} messages each way, by relayed candidates alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
