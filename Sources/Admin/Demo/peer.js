// One RTCPeerConnection to one other member. Either side may begin to negotiate at any time; if both do at once, the
// polite side drops its own offer ("perfect negotiation", W3C WebRTC section 10.7).

/** Milliseconds in which candidates are collected into one message. */
const batchTime = 40;
/** Limit of candidates that wait for a description; further ones are dropped. */
const earlyLimit = 256;
/** Milliseconds between the loss of the connection and the ICE restart; the polite side waits longer. */
const patience = 4000;
const politePatience = 6000;
/** Milliseconds after which a restart without success is repeated, and the shortest pause between two restarts. */
const retryTime = 15000;
const leastPause = 3000;
/** Milliseconds that a restart waits for new iceServers; after that it uses the old ones. */
const configurationTime = 3000;

/** Events: `track`, `channel`, `state`, `log` (text), `candidate`. */
export class Peer extends EventTarget {
  /**
   * `send` carries a message to the other side's `take`: each must arrive, once and in order. `configure` promises a
   * configuration with fresh credentials.
   */
  constructor({ tag, info, configuration, configure, isPolite, send }) {
    super();
    Object.assign(this, { tag, info, configure, isPolite, send, isOffering: false, restarts: 0, hasFailed: false });
    this.early = [];
    this.batch = [];
    this.local = [];
    this.remote = [];
    this.errors = [];
    this.work = Promise.resolve();
    this.began = performance.now();
    this.connection = new RTCPeerConnection(configuration);
    this.listen(this.connection);
    // Both sides make the same channel, so neither waits for the other's announcement.
    this.channel = this.connection.createDataChannel("demo", { negotiated: true, id: 1 });
    this.channel.binaryType = "arraybuffer";
  }

  listen(connection) {
    connection.onnegotiationneeded = () => this.offer();
    connection.onicecandidate = (event) => this.found(event.candidate);
    connection.onicecandidateerror = (event) => {
      this.errors.push({ code: event.errorCode, text: event.errorText, url: event.url });
    };
    connection.ontrack = (event) => this.tell("track", { track: event.track, stream: event.streams[0] });
    connection.onconnectionstatechange = () => this.changed(connection.connectionState);
  }

  changed(state) {
    if (state === "connected" && this.connectedAfter === undefined) {
      this.connectedAfter = Math.round(performance.now() - this.began);
    }
    if (state === "connected") clearTimeout(this.restartTimer);
    if (state === "disconnected") this.planRestart(this.isPolite ? politePatience : patience);
    if (state === "failed") {
      // Firefox does not bring media back after this, though the state may become "connected" again.
      if (this.connectedAfter !== undefined) this.hasFailed = true;
      else this.planRestart(Math.max(0, (this.restarted ?? 0) + leastPause - performance.now()));
    }
    this.tell("state", { state });
  }

  get isConnected() { return this.connection.connectionState === "connected"; }

  /** Whether the path works and no offer waits: an offer without an answer means that a new path was needed. */
  get isWell() { return this.isConnected && this.connection.signalingState === "stable"; }

  planRestart(wait) {
    clearTimeout(this.restartTimer);
    this.restartTimer = setTimeout(() => {
      if (this.hasFailed) return;
      // Our offer has no answer yet, and the next offer can only follow that answer.
      if (this.connection.signalingState === "stable") this.restart();
      else this.planRestart(retryTime);
    }, wait);
  }

  addStream(stream) {
    for (const track of stream.getTracks()) this.connection.addTrack(track, stream);
  }

  /** Sends other tracks in place of those of the same kind; without a new negotiation where that is possible. */
  async replace(stream) {
    for (const track of stream.getTracks()) {
      const sender = this.connection.getSenders().find((one) => one.track?.kind === track.kind);
      if (sender) await sender.replaceTrack(track);
      else this.connection.addTrack(track, stream);
    }
  }

  /** Describes what we want to send and receive, and sends the description. */
  async offer() {
    try {
      this.isOffering = true;
      await this.connection.setLocalDescription();
      this.sendDescription();
    } catch (error) {
      this.tell("log", { text: `the offer failed: ${error.message}` });
    } finally {
      this.isOffering = false;
    }
  }

  sendDescription() {
    this.send({ description: this.connection.localDescription.toJSON() });
  }

  /** A candidate of ours: an address at which the other side may reach us. Both sides must send theirs. */
  found(candidate) {
    if (candidate?.candidate) {
      this.local.push({ candidate, after: performance.now() - this.began });
      this.batch.push(candidate.toJSON());
      this.tell("candidate", { candidate });
    }
    this.batchTimer ??= setTimeout(() => {
      this.batchTimer = null;
      if (this.batch.length) this.send({ candidates: this.batch.splice(0) });
    }, batchTime);
  }

  /** Takes a message of the other side. Messages are handled one after the other, in the order in which they came. */
  take(message) {
    this.work = this.work.then(() => this.handle(message)).catch((error) => {
      this.tell("log", { text: `a message of the other side failed: ${error.message}` });
    });
    return this.work;
  }

  async handle({ description, candidates }) {
    if (this.isClosed) return;
    if (description) await this.describe(description);
    for (const candidate of candidates ?? []) await this.add(candidate);
  }

  async describe(description) {
    const connection = this.connection;
    const collides = description.type === "offer" && (this.isOffering || connection.signalingState !== "stable");
    if (collides && !this.isPolite) return;
    await connection.setRemoteDescription(description);
    if (description.type === "offer") {
      await connection.setLocalDescription();
      this.sendDescription();
    }
    for (const candidate of this.early.splice(0)) await this.add(candidate);
  }

  /** A candidate that comes before the remote description has to wait: addIceCandidate would throw. */
  async add(candidate) {
    if (!this.connection.remoteDescription) {
      if (this.early.length < earlyLimit) this.early.push(candidate);
      return;
    }
    // The candidate may belong to an offer that we ignore, or that another one has replaced.
    const fragment = candidate.usernameFragment;
    if (fragment && !this.connection.remoteDescription.sdp.includes(`a=ice-ufrag:${fragment}\r\n`)) return;
    await this.connection.addIceCandidate(candidate);
    this.remote.push(candidate);
  }

  /** Looks for new candidates and a new path, for example after a change of the network. Tracks and channel stay. */
  async restart() {
    if (this.isClosed) return;
    this.restarted = performance.now();
    this.planRestart(retryTime);
    this.restarts += 1;
    this.tell("log", { text: "ICE restart: looking for a new path" });
    const late = new Promise((resolve) => { setTimeout(resolve, configurationTime); });
    const configuration = await Promise.race([this.configure(), late]).catch(() => null);
    if (this.isClosed) return;
    if (configuration) this.connection.setConfiguration(configuration);
    this.connection.restartIce();
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.restartTimer);
    clearTimeout(this.batchTimer);
    this.connection.close();
    this.tell("state", { state: "closed" });
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
