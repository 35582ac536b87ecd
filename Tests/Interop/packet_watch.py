#!/usr/bin/python3
"""Watches an interface: the TTL of every IPv4 packet from an address, and the ICMP errors sent to it.

Usage: packet_watch.py INTERFACE ADDRESS. Prints a line when watching begins, and a line of JSON at the end of its input.
"""

import collections
import json
import select
import socket
import sys

ETH_P_IP = 0x0800
ETH_P_ALL = 0x0003
ICMP = 1
UNREACHABLE = 3


def main():
    """Counts until the input ends."""
    interface, address = sys.argv[1:3]
    watched = socket.inet_aton(address)
    ttl = collections.Counter()
    unreachable = collections.Counter()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as packets:
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        packets.bind((interface, ETH_P_ALL))
        print("watching", flush=True)
        while True:
            readable, _, _ = select.select([packets, sys.stdin], [], [])
            if packets in readable:
                frame = packets.recv(65535)
                header = frame[14:]
                if len(header) < 20 or int.from_bytes(frame[12:14], "big") != ETH_P_IP:
                    continue
                length = (header[0] & 0x0F) * 4
                if header[12:16] == watched:
                    ttl[header[8]] += 1
                elif header[16:20] == watched and header[9] == ICMP and len(header) >= length + 2:
                    if header[length] == UNREACHABLE:
                        unreachable[header[length + 1]] += 1
            elif sys.stdin in readable:
                break
    print(json.dumps({"ttl": ttl, "unreachable": unreachable}), flush=True)


if __name__ == "__main__":
    main()
