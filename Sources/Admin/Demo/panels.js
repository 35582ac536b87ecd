// The panels below the videos: people, chat, files, recording, candidates, numbers, states and descriptions.

import { element, scaled } from "../words.js";
import { listCandidates } from "./check.js";
import { addTo, makePlots } from "./plot.js";
import { Recorder } from "./record.js";
import { pairWords, read } from "./stats.js";
import { Transfer } from "./transfer.js";

const byId = (id) => document.getElementById(id);
const bytes = (count) => scaled(count, "B").join(" ");
/** Limits of lines of chat and of received files; beyond a limit the oldest one is removed. */
const lineLimit = 200;
const fileLimit = 16;

export class Panels {
  constructor(view) {
    Object.assign(this, { view, peers: [], recorder: new Recorder() });
    byId("chat-form").onsubmit = (event) => {
      event.preventDefault();
      this.sendChat();
    };
    byId("file").onchange = () => this.sendFile();
    byId("record").onclick = () => this.record();
    byId("peer-choice").onchange = () => this.choose();
    this.recorder.addEventListener("progress", ({ detail }) => {
      byId("record-words").textContent = `Recording: ${Math.round(detail.seconds)} s, ${bytes(detail.size)}`;
    });
    this.recorder.addEventListener("problem", ({ detail }) => { byId("record-words").textContent = detail.text; });
    this.recorder.addEventListener("ready", ({ detail }) => this.recorded(detail));
    setInterval(() => this.measure(), 1000);
  }

  show(names) {
    this.names = names;
    for (const panel of document.querySelectorAll("[data-panel]")) panel.hidden = !names.includes(panel.dataset.panel);
    byId("chat-lines").replaceChildren();
    for (const line of [...byId("files").children]) this.forget(line);
    byId("file-words").textContent = "";
    delete byId("file-words").dataset.intact;
  }

  // ---- Peers

  take(peer) {
    this.peers.push(peer);
    peer.transfer = new Transfer(peer.channel);
    peer.transfer.addEventListener("chat", ({ detail }) => this.addChat(peer.info.name, detail.text));
    peer.transfer.addEventListener("file", ({ detail }) => this.addFile(peer, detail));
    peer.transfer.addEventListener("sent", ({ detail }) => this.sent(detail));
    peer.transfer.addEventListener("progress", ({ detail }) => this.progress(detail));
    peer.transfer.addEventListener("beat", ({ detail }) => { peer.beat = detail.milliseconds; });
    peer.transfer.addEventListener("problem", ({ detail }) => {
      byId("file-words").textContent = `A message from ${peer.info.name} failed: ${detail.text}.`;
    });
    peer.transfer.addEventListener("silent", () => {
      if (peer.isConnected) this.view.say(`No heartbeat from ${peer.info.name}.`);
    });
    peer.addEventListener("candidate", () => this.refresh());
    this.listPeers();
  }

  drop(peer) {
    this.peers = this.peers.filter((one) => one !== peer);
    this.listPeers();
  }

  clear() {
    this.recorder.stop();
    this.peers = [];
    this.listPeers();
    byId("people").replaceChildren();
    byId("people-count").textContent = "";
  }

  listPeers() {
    const select = byId("peer-choice");
    const before = select.value;
    select.replaceChildren(...this.peers.map((peer) => element("option", peer.info.name, { value: peer.tag })));
    if (this.peers.some(({ tag }) => tag === before)) select.value = before;
    select.hidden = this.peers.length < 2;
    this.choose();
  }

  get peer() { return this.peers.find(({ tag }) => tag === byId("peer-choice").value) ?? this.peers[0]; }

  choose() {
    this.figures = null;
    this.plots = makePlots(byId("plots"), this.view.session?.role === "star" && this.peer?.info.role === "fan");
    this.refresh();
  }

  /** Candidates and descriptions of the chosen peer. */
  refresh() {
    const peer = this.peer;
    if (peer) listCandidates(byId("room-candidates"), peer);
    else byId("room-candidates").replaceChildren();
    this.learn();
    byId("path").textContent = peer ? "" : "No call.";
  }

  /** Shows states and descriptions. An unchanged text is not set again, so that a selection in it stays. */
  learn() {
    const connection = this.peer?.connection;
    const texts = {
      "sdp-local": connection?.localDescription?.sdp ?? "none yet",
      "sdp-remote": connection?.remoteDescription?.sdp ?? "none yet",
      states: connection ? `connection ${connection.connectionState}, ICE ${connection.iceConnectionState}, `
        + `gathering ${connection.iceGatheringState}, signalling ${connection.signalingState}` : "",
    };
    for (const [id, text] of Object.entries(texts)) if (byId(id).textContent !== text) byId(id).textContent = text;
  }

  async measure() {
    const peer = this.peer;
    if (!peer || peer.isClosed) return;
    this.learn();
    const figures = await read(peer.connection, this.figures);
    if (peer !== this.peer) return;
    this.figures = figures;
    const beat = peer.beat === undefined ? "" : ` Heartbeat: ${Math.round(peer.beat)} ms there and back.`;
    byId("path").textContent = figures.pair ? `${pairWords(figures.pair)}.${beat}` : "No path yet.";
    if (peer.connection.connectionState === "connected") addTo(this.plots, figures);
  }

  // ---- People

  showPeople(session) {
    if (session !== this.view.session) return;
    const rows = [{ name: `${session.name} (you)`, role: session.role }, ...session.others.map(({ info }) => info)];
    const roles = { star: "sends", fan: "watches", caller: "calls" };
    byId("people").replaceChildren(...rows.map(({ name, role }) => {
      const line = element("li", name);
      line.append(element("span", roles[role] ?? "", { class: "tag" }));
      return line;
    }));
    const fans = rows.filter(({ role }) => role === "fan").length;
    byId("people-count").textContent = `${rows.length} here, ${fans} watching`;
  }

  // ---- Chat

  sendChat() {
    const text = byId("chat-text").value.trim().slice(0, 2000);
    if (!text) return;
    const session = this.view.session;
    if (!session) {
      this.view.say("Join first, then write.");
      return;
    }
    if (session.role === "caller") {
      const open = this.peers.filter(({ channel }) => channel.readyState === "open");
      if (!open.length) {
        this.view.say("The other side is not connected yet.");
        return;
      }
      // In a loopback this tab has both ends: the first one writes.
      open[0].transfer.chat(text);
    } else {
      session.chat(text);
    }
    byId("chat-text").value = "";
    this.addChat("You", text);
  }

  addChat(name, text) {
    const lines = byId("chat-lines");
    const line = element("li");
    line.append(element("b", name), element("span", String(text).slice(0, 2000)));
    lines.append(line);
    while (lines.children.length > lineLimit) lines.firstChild.remove();
    lines.scrollTop = lines.scrollHeight;
  }

  // ---- Files

  async sendFile() {
    const [file] = byId("file").files;
    const peer = this.peers.find(({ channel }) => channel.readyState === "open");
    byId("file-words").textContent = peer || !file ? "" : "The other side is not connected yet.";
    if (!file || !peer) return;
    try {
      await peer.transfer.send(file);
    } catch (error) {
      byId("file-words").textContent = `Not sent: ${error.message}`;
    }
    byId("file").value = "";
  }

  progress({ name, part }) {
    byId("file-words").textContent = `${name}: ${Math.round(part * 100)} %`;
  }

  sent({ name, size, seconds, isIntact, checksum }) {
    byId("file-words").textContent = isIntact
      ? `${name} has arrived unchanged: ${bytes(size)} in ${seconds.toFixed(1)} s, SHA-256 ${checksum.slice(0, 16)}…`
      : `${name} has arrived damaged: the checksums differ.`;
    byId("file-words").dataset.intact = isIntact;
  }

  addFile(peer, { name, size, blob, isIntact, checksum }) {
    const line = element("li", "", { "data-intact": isIntact, "data-size": size });
    const link = element("a", name, { href: URL.createObjectURL(blob), download: name });
    line.append(link, element("span", ` ${bytes(size)} from ${peer.info.name}, `), element("span",
      isIntact ? `checksums equal (SHA-256 ${checksum.slice(0, 16)}…)` : "damaged: the checksums differ"));
    byId("files").append(line);
    while (byId("files").children.length > fileLimit) this.forget(byId("files").firstChild);
  }

  /** Removes a received file and releases its memory. */
  forget(line) {
    URL.revokeObjectURL(line.querySelector("a").href);
    line.remove();
  }

  // ---- Recording

  record() {
    if (this.recorder.isRunning) {
      this.recorder.stop();
      return;
    }
    const isRemote = byId("record-source").value === "remote";
    const stream = isRemote ? this.peers.find((peer) => peer.stream)?.stream : this.view.stream;
    try {
      this.recorder.start(stream);
      byId("record").textContent = "Stop";
      byId("record-words").textContent = "Recording…";
    } catch (error) {
      byId("record-words").textContent = `Not recorded: ${error.message}`;
    }
  }

  recorded({ blob, extension }) {
    byId("record").textContent = "Record";
    const url = URL.createObjectURL(blob);
    const box = byId("recording");
    const old = box.querySelector("video");
    if (old) URL.revokeObjectURL(old.src);
    const name = `turnpike-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.${extension}`;
    box.replaceChildren(
      element("video", "", { src: url, controls: "", playsinline: "" }),
      element("a", `Download ${name} (${bytes(blob.size)})`, { href: url, download: name, class: "button" }));
    byId("record-words").textContent = "";
  }
}
