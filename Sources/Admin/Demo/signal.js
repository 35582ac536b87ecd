// Signalling: a WebSocket to the server carries small JSON messages between the members of a room. WebRTC does not say
// how two browsers exchange their descriptions and candidates; this is one way.

/** Close codes after which a new attempt cannot succeed: a faulty message, and a wrong room key. */
const final = [4400, 4403];
/** Milliseconds in which the server must answer a join, and a ping; after that a new connection is made. */
const joinTime = 6000;
const answerTime = 4000;
/** The longest pause between two attempts, in milliseconds. */
const longestPause = 2000;

/**
 * Messages to one member are lost while the connection is away: see line.js.
 *
 * Events: `welcome` (id, members), `joined` (id, info), `left` (id, reason), `message` (from, data),
 * `state` (text, ok).
 */
export class Signal extends EventTarget {
  /** `info` is a small object for the other members: tag, name, group and role. */
  constructor(room, key, info) {
    super();
    Object.assign(this, { room, key, info, id: 0, queue: [], attempts: 0, total: 0, isOver: false });
    this.hurry = () => (this.retry ? this.connect() : this.probe());
    addEventListener("online", this.hurry);
  }

  connect() {
    const url = new URL("demo/socket", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    // Firefox delays attempts to an address that has failed, up to a minute, so each attempt has its own address.
    this.total += 1;
    if (this.total > 1) url.searchParams.set("attempt", this.total);
    clearTimeout(this.retry);
    this.retry = null;
    const socket = new WebSocket(url);
    this.socket = socket;
    // TCP repeats its SYN after longer and longer pauses; a new connection is faster.
    this.deadline = setTimeout(() => this.abandon(), joinTime);
    this.tell("state", { text: this.attempts ? "reconnecting" : "connecting", ok: false });
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "join", room: this.room, key: this.key, info: this.info }));
    };
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = (event) => this.closed(socket, event.code);
  }

  take(message) {
    clearTimeout(this.deadline);
    this.deadline = null;
    if (message.type === "refused") this.refusal = message.reason;
    if (message.type === "welcome") {
      this.id = message.id;
      this.attempts = 0;
      this.refusal = "";
      this.timer = setInterval(() => this.probe(), message.heartbeat * 1000);
      this.tell("state", { text: "in the room", ok: true });
      this.flush();
    }
    if (["welcome", "joined", "left", "message"].includes(message.type)) this.tell(message.type, message);
  }

  /** Sends a heartbeat. Without an answer the connection is broken, even if the browser has not reported it yet. */
  probe() {
    if (!this.id || this.deadline) return;
    this.socket.send('{"type":"ping"}');
    this.deadline = setTimeout(() => this.abandon(), answerTime);
  }

  /** Gives a connection up without waiting for its end, which may take minutes. */
  abandon() {
    const socket = this.socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.closed(socket);
  }

  /** Sends to one member, or to all without `to`. Messages to all wait while the connection is away. */
  send(data, to) {
    if (to && !this.id) return;
    this.queue.push(to ? { type: "send", to, data } : { type: "send", data });
    this.flush();
  }

  /** Drops the waiting messages for a member that is gone, or that has a new number. */
  forget(to) { this.queue = this.queue.filter((message) => message.to !== to); }

  /** At most 40 messages a second: the server closes connections that send more for long. */
  flush() {
    if (this.pause || !this.queue.length || !this.id || this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify(this.queue.shift()));
    this.pause = setTimeout(() => {
      this.pause = null;
      this.flush();
    }, 25);
  }

  closed(socket, code) {
    if (socket !== this.socket) return;
    clearInterval(this.timer);
    clearTimeout(this.deadline);
    this.deadline = null;
    this.id = 0;
    if (this.isOver) return;
    this.queue = this.queue.filter(({ to }) => !to);
    if (final.includes(code)) {
      this.tell("state", { text: this.refusal || "refused", ok: false, isFinal: true });
      return;
    }
    this.attempts += 1;
    const wait = Math.min(longestPause, 250 * 2 ** this.attempts) * (0.75 + Math.random() / 2);
    this.tell("state", { text: this.refusal || "the connection is lost, trying again", ok: false });
    this.retry = setTimeout(() => this.connect(), wait);
  }

  /** Sends the waiting messages and leaves the room. */
  close() {
    this.isOver = true;
    removeEventListener("online", this.hurry);
    clearInterval(this.timer);
    for (const timer of [this.deadline, this.retry, this.pause]) clearTimeout(timer);
    for (const message of this.queue.splice(0)) {
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
    }
    this.socket?.close(1000);
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
