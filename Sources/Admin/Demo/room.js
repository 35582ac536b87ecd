// The room tabs: sources, calls, videos, and messages about events.

import { element } from "../words.js";
import { close, devices, explain, microphones, open, sources } from "./media.js";
import { modes } from "./modes.js";
import { Panels } from "./panels.js";
import { Session } from "./session.js";

const byId = (id) => document.getElementById(id);

function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(({ value, text }) => element("option", text, { value })));
  if (options.some(({ value }) => value === before)) select.value = before;
}

export class RoomView {
  constructor(access, configuration) {
    Object.assign(this, { access, configuration, mode: "", session: null, mirror: null, stream: null });
    this.panels = new Panels(this);
    byId("name").value = sessionStorage.getItem("turnpike-demo-name") || `Guest ${Math.ceil(Math.random() * 99)}`;
    byId("name").onchange = () => sessionStorage.setItem("turnpike-demo-name", byId("name").value);
    byId("start").onclick = () => this.run(() => this.start(modes[this.mode].roles[0]));
    byId("watch").onclick = () => this.run(() => this.start("fan"));
    byId("loopback").onclick = () => this.run(() => this.loopback());
    byId("hang-up").onclick = () => {
      this.hangUp();
      this.say("You have hung up.");
    };
    byId("restart").onclick = () => this.session?.restart();
    byId("source").onchange = () => this.run(() => this.changeSource());
    byId("microphone").onchange = () => this.run(() => this.changeSource());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.listDevices());
  }

  /** Shows the tab of a kind of call, and ends a call of another kind. */
  show(name) {
    if (name !== this.mode) this.hangUp();
    this.mode = name;
    const mode = modes[name];
    if (!mode) return;
    byId("room-title").textContent = mode.title;
    byId("room-text").textContent = mode.text;
    byId("start").textContent = mode.start;
    byId("watch").hidden = !mode.roles.includes("fan");
    byId("settings").open = mode.panels.includes("servers");
    this.panels.show(mode.panels);
    this.say("");
    this.listDevices();
    this.update();
  }

  async listDevices() {
    if (!byId("source").options.length) fill(byId("source"), sources(null));
    const list = await devices();
    fill(byId("source"), sources(list));
    fill(byId("microphone"), microphones(list));
    byId("microphone-field").hidden = microphones(list).length < 2;
  }

  /** Runs an action of a button, and shows its error. */
  async run(action) {
    try {
      await action();
    } catch (error) {
      this.say(explain(error));
      if (!this.session) this.hangUp();
    }
    this.update();
  }

  // ---- Calls

  async start(role) {
    this.hangUp();
    const attempt = {};
    this.attempt = attempt;
    const access = await this.access.get();
    const stream = role === "fan" ? null : await this.openStream();
    // Meanwhile the person may have pressed another button.
    if (attempt !== this.attempt) return close(stream);
    if (stream) this.take(stream);
    this.session = this.join(access, role, this.mode, byId("name").value || "Guest");
    this.session.start();
    this.say("Entering the room…");
  }

  /** Makes a call with both ends in this tab, through the room and the server like any other call. */
  async loopback() {
    this.hangUp();
    const attempt = {};
    this.attempt = attempt;
    const access = await this.access.get();
    const stream = await this.openStream();
    if (attempt !== this.attempt) return close(stream);
    this.take(stream);
    const [first, second] = modes[this.mode].roles.length > 1 ? ["star", "fan"] : ["caller", "caller"];
    const group = `${this.mode} ${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    this.session = this.join(access, first, group, "This tab");
    this.mirror = this.join(access, second, group, "This tab again");
    this.session.start();
    this.mirror.start();
    this.say("Both ends are in this tab.");
  }

  join(access, role, group, name) {
    const session = new Session({
      room: access.room, key: access.key, name, group, role, configuration: this.configuration,
      stream: role === "fan" ? null : this.stream,
    });
    session.addEventListener("state", ({ detail }) => this.signalState(detail));
    session.addEventListener("people", () => this.panels.showPeople(session));
    session.addEventListener("peer", ({ detail }) => this.met(detail.peer));
    session.addEventListener("gone", ({ detail }) => this.gone(detail.peer, detail.reason));
    session.addEventListener("chat", ({ detail }) => this.panels.addChat(detail.from.name, detail.text));
    session.addEventListener("log", ({ detail }) => this.say(detail.text));
    session.addEventListener("busy", () => {
      this.hangUp();
      this.say("Two people are in this call already. Make a room of your own, or watch a broadcast.");
    });
    return session;
  }

  signalState({ text, ok, isFinal }) {
    byId("state").textContent = ok ? text : text.slice(0, 60);
    byId("state").className = `pill ${ok ? "ready" : "draining"}`;
    if (!ok) this.say(text);
    else if (this.session?.peers.size) this.say("Back in the room.");
    else this.say(this.waiting());
    if (!isFinal) return;
    this.hangUp();
    // The key may be old: the next attempt asks for another one.
    this.access.forget();
  }

  waiting() {
    if (this.mirror) return "";
    if (this.session?.role === "fan") return "In the room. The picture comes as soon as the star sends.";
    if (this.session?.role === "star") return "You are sending. Give the link to the people who should watch.";
    return "In the room. Give the link to the other side, or open it in a second window.";
  }

  met(peer) {
    if (peer.isKnown) {
      this.update();
      return;
    }
    peer.isKnown = true;
    peer.addEventListener("track", ({ detail }) => this.play(peer, detail));
    peer.addEventListener("state", ({ detail }) => this.peerState(peer, detail.state));
    this.panels.take(peer);
  }

  peerState(peer, state) {
    const name = peer.info.name;
    const words = {
      connecting: `Connecting to ${name}…`,
      connected: `Connected to ${name} after ${peer.connectedAfter} ms.`,
      disconnected: `Nothing comes from ${name}: waiting for the connection to come back.`,
      failed: `The connection to ${name} has failed.`,
    };
    if (words[state]) this.say(words[state]);
    if (peer.tile) peer.tile.dataset.state = state;
    this.panels.refresh();
    this.update();
  }

  gone(peer, reason) {
    peer.tile?.remove();
    this.panels.drop(peer);
    this.say(`${peer.info.name} has ${reason}.`);
    this.update();
  }

  hangUp() {
    this.attempt = null;
    if (this.session) {
      byId("state").textContent = this.access.answer.room;
      byId("state").className = "pill ready";
    }
    this.mirror?.stop();
    this.session?.stop();
    this.session = null;
    this.mirror = null;
    close(this.stream);
    this.stream = null;
    byId("local").srcObject = null;
    byId("remotes").replaceChildren();
    this.panels.clear();
    this.update();
  }

  // ---- Pictures

  openStream() { return open(byId("source").value, byId("microphone").value); }

  /** Shows our own stream. */
  take(stream) {
    this.stream = stream;
    byId("local").srcObject = stream;
    // The person ends the sharing of the screen in the browser's own bar, or pulls the camera's plug.
    for (const track of stream.getTracks()) {
      track.onended = () => this.say(`${track.label || track.kind} has ended. Choose another source.`);
    }
    // Names of devices are known only after the permission.
    this.listDevices();
  }

  /** Changes the device during a call: the tracks are replaced, and the call continues. */
  async changeSource() {
    if (!this.stream) return;
    const choice = {};
    this.choice = choice;
    const stream = await this.openStream();
    const before = this.stream;
    // Meanwhile the person may have hung up, or chosen again.
    if (choice !== this.choice || !before) return close(stream);
    this.take(stream);
    await this.session?.replace(stream);
    if (this.mirror?.stream) await this.mirror.replace(stream);
    close(before);
  }

  play(peer, { track, stream }) {
    if (!peer.tile) {
      peer.tile = element("figure", "", { class: "tile-video", "data-tag": peer.tag });
      peer.video = element("video", "", { autoplay: "", playsinline: "", controls: "" });
      // With both ends in this tab the sound would cause feedback.
      peer.video.muted = !!this.mirror;
      peer.tile.append(peer.video, element("figcaption", peer.info.name));
      byId("remotes").append(peer.tile);
    }
    peer.stream = stream ?? new MediaStream([...(peer.stream?.getTracks() ?? []), track]);
    peer.video.srcObject = peer.stream;
    peer.video.play().catch(() => {});
    this.update();
  }

  say(text) { byId("room-words").textContent = text; }

  update() {
    const isRunning = !!this.session;
    byId("start").hidden = isRunning;
    byId("watch").hidden = isRunning || !modes[this.mode]?.roles.includes("fan");
    byId("loopback").hidden = isRunning;
    byId("hang-up").hidden = !isRunning;
    byId("restart").hidden = !this.session?.peers.size;
    byId("local-tile").hidden = !this.stream;
    byId("stage").hidden = !this.stream && !byId("remotes").children.length;
  }
}
