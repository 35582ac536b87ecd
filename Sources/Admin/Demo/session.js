// A member of a room: who calls whom. A star sends to every fan, with an offer of its own for each, also for those who
// come later. Two callers send to each other, and the one who comes second makes the offer.

import { Peer } from "./peer.js";
import { Signal } from "./signal.js";

/** Milliseconds that a peer is kept after its signalling has gone: its media may still flow while it reconnects. */
const grace = 15000;

/**
 * Events: `state` (text, ok), `people`, `peer` (peer), `gone` (peer, reason), `chat` (from, text), `busy`,
 * `log` (text).
 */
export class Session extends EventTarget {
  /**
   * `configuration` makes the argument of RTCPeerConnection; `stream` is null for a fan. Only members of one `group`
   * see each other: each kind of call is one.
   */
  constructor({ room, key, name, group, role, stream, configuration }) {
    super();
    this.tag = crypto.getRandomValues(new Uint32Array(2)).join("-");
    Object.assign(this, { group, role, name, stream, configuration, peers: new Map(), people: new Map() });
    this.signal = new Signal(room, key, { tag: this.tag, name, group, role });
    this.signal.addEventListener("state", (event) => this.tell("state", event.detail));
    this.signal.addEventListener("welcome", (event) => this.welcome(event.detail.members));
    this.signal.addEventListener("joined", (event) => this.joined(event.detail));
    this.signal.addEventListener("left", (event) => this.left(event.detail));
    this.signal.addEventListener("message", (event) => this.message(event.detail));
  }

  start() { this.signal.connect(); }

  /** Hangs up: the others are told that it is on purpose. */
  stop() {
    if (this.signal.id) this.signal.send({ bye: true });
    this.signal.close();
    for (const peer of this.peers.values()) peer.close();
    this.peers.clear();
    this.people.clear();
  }

  // ---- Who is there

  welcome(members) {
    this.people = new Map(members.filter(({ info }) => info.group === this.group).map(({ id, info }) => [id, info]));
    const callers = [...this.people.values()].filter((info) => info.role === "caller" && !this.peers.has(info.tag));
    if (this.role === "caller" && callers.length > 1) {
      this.tell("busy", {});
      this.stop();
      return;
    }
    for (const [id, info] of this.people) {
      if (!this.resume(id, info) && this.mustCall(info)) this.call(id, info);
    }
    this.tell("people", {});
  }

  joined({ id, info }) {
    if (info.group !== this.group) return;
    this.people.set(id, info);
    // A caller who comes later makes the offer itself.
    if (!this.resume(id, info) && this.role === "star" && info.role === "fan") this.call(id, info);
    this.tell("people", {});
  }

  mustCall(info) {
    return this.role === "star" ? info.role === "fan" : this.role === "caller" && info.role === "caller";
  }

  /** A member whose connection to the room was away is the same peer under a new number. */
  resume(id, info) {
    const peer = this.peers.get(info.tag);
    if (!peer) return false;
    clearTimeout(peer.graceTimer);
    peer.id = id;
    peer.isAway = false;
    const isWell = peer.connection.connectionState === "connected";
    if (!isWell && !peer.isPolite) this.configuration().then((configuration) => peer.restart(configuration));
    this.tell("peer", { peer });
    return true;
  }

  left({ id, reason }) {
    const info = this.people.get(id);
    this.people.delete(id);
    const peer = info && this.peers.get(info.tag);
    if (peer && peer.id === id) {
      peer.isAway = true;
      this.tell("log", { text: `${peer.info.name} has vanished (${reason}); waiting for a sign` });
      peer.graceTimer = setTimeout(() => this.drop(peer, "vanished"), grace);
    }
    this.tell("people", {});
  }

  drop(peer, reason) {
    clearTimeout(peer.graceTimer);
    this.peers.delete(peer.tag);
    peer.close();
    this.tell("gone", { peer, reason });
  }

  // ---- Calls

  call(id, info) {
    const made = this.make(id, info, false).then((peer) => {
      // Tracks and channel make the browser fire negotiationneeded: the offer follows by itself.
      if (this.stream) peer.addStream(this.stream);
    });
    made.catch((error) => this.tell("log", { text: `the call failed: ${error.message}` }));
  }

  async make(id, info, isPolite) {
    for (const old of [...this.peers.values()]) {
      // In a call of two a new caller takes the place of one that has vanished.
      if (this.role === "caller" && old.isAway) this.drop(old, "vanished");
    }
    const peer = new Peer({
      tag: info.tag, info, isPolite, configuration: await this.configuration(),
      send: (data) => this.signal.send(data, peer.id),
    });
    peer.id = id;
    this.peers.set(info.tag, peer);
    peer.addEventListener("log", (event) => this.tell("log", event.detail));
    this.tell("peer", { peer });
    return peer;
  }

  message({ from, data }) {
    const info = this.people.get(from);
    if (!info || !data) return;
    if (typeof data.chat === "string") this.tell("chat", { from: info, text: data.chat });
    if (!data.bye && !data.description && !data.candidates) return;
    // In the order of arrival, although making the peer waits for iceServers.
    this.work = (this.work || Promise.resolve()).then(() => this.handle(from, info, data))
      .catch((error) => this.tell("log", { text: error.message }));
  }

  async handle(from, info, data) {
    let peer = this.peers.get(info.tag);
    if (data.bye) {
      if (peer) this.drop(peer, "hung up");
      return;
    }
    if (!peer) {
      // Candidates alone belong to a call that we have ended.
      const mayCall = this.role === "fan" ? info.role === "star" : this.role === "caller";
      if (!data.description || !mayCall) return;
      peer = await this.make(from, info, true);
      if (this.stream && this.role !== "fan") peer.addStream(this.stream);
    }
    peer.take(data);
  }

  /** A text for one member or for all of the room, through the server. */
  chat(text, to) { this.signal.send({ chat: text }, to); }

  async replace(stream) {
    this.stream = stream;
    for (const peer of this.peers.values()) await peer.replace(stream);
  }

  async restart() {
    for (const peer of this.peers.values()) await peer.restart(await this.configuration());
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
