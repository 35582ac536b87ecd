// A member of a room, and its calls. A star sends to every fan, with a separate offer for each, also for those who come
// later. Two callers send to each other, and the caller who comes second makes the offer.

import { Line } from "./line.js";
import { Peer } from "./peer.js";
import { Signal } from "./signal.js";

/** Milliseconds that a peer without media is kept after the loss of its signalling, because both may come back. */
const grace = 15000;

/**
 * Events: `state` (text, ok), `people`, `peer` (peer), `gone` (peer, reason), `chat` (from, text), `busy`,
 * `log` (text).
 */
export class Session extends EventTarget {
  /**
   * `configuration` makes the argument of RTCPeerConnection; `stream` is null for a fan. Only members of one `group`
   * see each other: each kind of call is one group.
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

  /** Hangs up, and tells the other members that this is intended. */
  stop() {
    this.isOver = true;
    if (this.signal.id) this.signal.send({ bye: true });
    this.signal.close();
    for (const peer of this.peers.values()) {
      clearTimeout(peer.graceTimer);
      peer.close();
    }
    this.peers.clear();
    this.people.clear();
  }

  // ---- Who is there

  /** The other members. After a break the server may list a member twice for a while, and also us. */
  get others() {
    const byTag = new Map([...this.people].map(([id, info]) => [info.tag, { id, info }]));
    byTag.delete(this.tag);
    return [...byTag.values()];
  }

  welcome(members) {
    this.people = new Map(members.filter(({ info }) => info.group === this.group).map(({ id, info }) => [id, info]));
    const others = this.others;
    if (this.role === "caller" && others.filter(({ info }) => info.role === "caller").length > 1) {
      this.tell("busy", {});
      this.stop();
      return;
    }
    for (const peer of this.peers.values()) {
      if (!others.some(({ info }) => info.tag === peer.tag)) this.miss(peer, "while we were away");
    }
    for (const { id, info } of others) {
      if (!this.resume(id, info) && this.mustCall(info)) this.enqueue(() => this.call(id, info));
    }
    this.tell("people", {});
  }

  joined({ id, info }) {
    if (info.group !== this.group) return;
    this.people.set(id, info);
    // A caller who comes later makes the offer itself.
    if (!this.resume(id, info) && this.role === "star" && info.role === "fan") this.enqueue(() => this.call(id, info));
    this.tell("people", {});
  }

  mustCall(info) {
    return this.role === "star" ? info.role === "fan" : this.role === "caller" && info.role === "caller";
  }

  mayCallUs(info) {
    return this.role === "fan" ? info.role === "star" : this.role === "caller" && info.role === "caller";
  }

  /** Continues with a member after a break of its or our connection to the room: the same peer has a new number. */
  resume(id, info) {
    const peer = this.peers.get(info.tag);
    if (!peer) return false;
    clearTimeout(peer.graceTimer);
    if (peer.id !== id) this.signal.forget(peer.id);
    peer.id = id;
    peer.isAway = false;
    peer.line.resume();
    // The side that called restarts. Before the first answer there is nothing to restart.
    if (peer.hasFailed || peer.line.isFull) this.renew(peer);
    else if (!peer.isWell && !peer.isPolite && peer.connection.remoteDescription) peer.restart();
    this.tell("peer", { peer });
    return true;
  }

  /** A connection that has failed is not repaired: the side that called calls again. */
  renew(peer) {
    // `resume` calls this again when the signalling has come back.
    if (peer.isAway || !this.signal.id) return;
    if (peer.isPolite) this.signal.send({ call: peer.call, isUnknown: true }, peer.id);
    else this.enqueue(() => this.peers.get(peer.tag) === peer && this.call(peer.id, peer.info));
  }

  left({ id, reason }) {
    const info = this.people.get(id);
    this.people.delete(id);
    const peer = info && this.peers.get(info.tag);
    this.signal.forget(id);
    if (peer && peer.id === id) this.miss(peer, reason);
    this.tell("people", {});
  }

  /** Keeps a peer whose signalling is gone, as long as its media flow and up to `grace` longer. */
  miss(peer, reason) {
    peer.isAway = true;
    this.tell("log", { text: `${peer.info.name} has vanished (${reason}); waiting for its return` });
    const look = () => {
      if (!peer.isConnected) return this.drop(peer, "vanished");
      peer.graceTimer = setTimeout(look, grace);
    };
    clearTimeout(peer.graceTimer);
    peer.graceTimer = setTimeout(look, grace);
  }

  drop(peer, reason) {
    clearTimeout(peer.graceTimer);
    this.peers.delete(peer.tag);
    peer.close();
    this.tell("gone", { peer, reason });
  }

  // ---- Calls

  /** Runs actions one after the other, because making a peer waits for iceServers. */
  enqueue(action) {
    this.work = (this.work ?? Promise.resolve()).then(() => this.isOver || action())
      .catch((error) => this.tell("log", { text: `the call failed: ${error.message}` }));
  }

  async call(id, info) {
    const old = this.peers.get(info.tag);
    if (old) this.drop(old, "lost the connection");
    const number = crypto.getRandomValues(new Uint32Array(1))[0];
    const peer = await this.make(id, info, { call: number, isPolite: false });
    // Tracks and channel make the browser fire negotiationneeded: the offer follows by itself.
    if (this.stream) peer?.addStream(this.stream);
  }

  /** Makes a peer. Both ends name a call by the same number, so they recognize messages of an earlier call. */
  async make(id, info, { call, isPolite }) {
    for (const old of [...this.peers.values()]) {
      // In a call of two a new caller takes the place of one that has vanished.
      if (this.role === "caller" && old.isAway) this.drop(old, "vanished");
    }
    const configuration = await this.configuration();
    if (this.isOver) return null;
    const line = new Line((data) => this.signal.send({ call, ...data }, peer.id), (data) => peer.take(data));
    const peer = new Peer({
      tag: info.tag, info, isPolite, configuration, configure: this.configuration, send: (data) => line.send(data),
    });
    Object.assign(peer, { id, call, line });
    this.peers.set(info.tag, peer);
    peer.addEventListener("log", (event) => this.tell("log", event.detail));
    // If media do not arrive, the signalling may be broken too.
    peer.addEventListener("state", ({ detail }) => {
      if (["disconnected", "failed"].includes(detail.state)) this.signal.probe();
      if (detail.state === "failed" && peer.hasFailed) this.renew(peer);
    });
    this.tell("peer", { peer });
    return peer;
  }

  message({ from, data }) {
    const info = this.people.get(from);
    if (!info || !data) return;
    if (typeof data.chat === "string") this.tell("chat", { from: info, text: data.chat });
    if (data.bye || data.call) this.enqueue(() => this.handle(from, info, data));
  }

  async handle(from, info, data) {
    let peer = this.peers.get(info.tag);
    if (data.bye) {
      if (peer) this.drop(peer, "hung up");
      return;
    }
    if (peer?.call !== data.call) {
      peer = await this.answer(from, info, data, peer);
    } else if (data.isUnknown) {
      this.drop(peer, "lost the call");
      if (this.mustCall(info)) await this.call(from, info);
      return;
    }
    peer?.line.take(data);
  }

  /** A message of a call that we do not have: a new call, or one that we have given up. */
  async answer(from, info, data, old) {
    const isNew = data.number === 1 && data.description?.type === "offer";
    // An offer of ours without an answer will reach the other side, or be repeated.
    const isOpen = old && !old.isPolite && !old.connection.remoteDescription;
    if (!isNew || !this.mayCallUs(info)) {
      if (!isOpen && !data.isUnknown) this.signal.send({ call: data.call, isUnknown: true }, from);
      return null;
    }
    // Both have called at the same time: the greater number wins.
    if (isOpen && old.call > data.call) return null;
    if (old) this.drop(old, "called again");
    const peer = await this.make(from, info, { call: data.call, isPolite: true });
    if (this.stream && this.role !== "fan") peer?.addStream(this.stream);
    return peer;
  }

  /** Sends a text to one member or to the whole room, through the server. */
  chat(text, to) { this.signal.send({ chat: text }, to); }

  async replace(stream) {
    this.stream = stream;
    for (const peer of this.peers.values()) await peer.replace(stream);
  }

  async restart() {
    for (const peer of this.peers.values()) await peer.restart();
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
