// Signalling: a WebSocket to the server carries small JSON messages between the members of a room. WebRTC does not say
// how two browsers exchange their descriptions and candidates; this is one way.

/** Close codes after which a new attempt cannot succeed: a faulty message, and a wrong room key. */
const final = [4400, 4403];

/**
 * Events: `welcome` (id, members), `joined` (id, info), `left` (id, reason), `message` (from, data),
 * `state` (text, ok).
 */
export class Signal extends EventTarget {
  /** `info` is a small object that the other members are told: here tag, name, mode and role. */
  constructor(room, key, info) {
    super();
    Object.assign(this, { room, key, info, id: 0, queue: [], attempts: 0, isOver: false });
  }

  connect() {
    const url = new URL("demo/socket", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    const socket = new WebSocket(url);
    this.socket = socket;
    this.tell("state", { text: this.attempts ? "reconnecting" : "connecting", ok: false });
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "join", room: this.room, key: this.key, info: this.info }));
    };
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = (event) => this.closed(socket, event.code);
  }

  take(message) {
    this.heard = performance.now();
    if (message.type === "refused") this.refusal = message.reason;
    if (message.type === "welcome") {
      this.id = message.id;
      this.attempts = 0;
      this.beat(message.heartbeat);
      this.tell("state", { text: "in the room", ok: true });
      this.flush();
    }
    if (["welcome", "joined", "left", "message"].includes(message.type)) this.tell(message.type, message);
  }

  /** The heartbeat: a connection on which no answer comes is dead, though the browser may not know it yet. */
  beat(seconds) {
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      if (performance.now() - this.heard > seconds * 2500) this.socket.close();
      else this.socket.send('{"type":"ping"}');
    }, seconds * 1000);
  }

  /** Sends to one member, or to all without `to`. Messages wait while the connection is away. */
  send(data, to) {
    this.queue.push(JSON.stringify(to ? { type: "send", to, data } : { type: "send", data }));
    this.flush();
  }

  /** At most 40 messages a second: the server closes connections that send more for long. */
  flush() {
    if (this.pause || !this.queue.length || !this.id || this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(this.queue.shift());
    this.pause = setTimeout(() => {
      this.pause = null;
      this.flush();
    }, 25);
  }

  closed(socket, code) {
    if (socket !== this.socket) return;
    clearInterval(this.timer);
    this.id = 0;
    if (this.isOver) return;
    if (final.includes(code)) {
      this.tell("state", { text: this.refusal || "refused", ok: false, isFinal: true });
      return;
    }
    this.attempts += 1;
    const wait = Math.min(8000, 250 * 2 ** this.attempts) * (0.75 + Math.random() / 2);
    this.tell("state", { text: this.refusal || "the connection is lost, trying again", ok: false });
    this.retry = setTimeout(() => this.connect(), wait);
  }

  /** Leaves the room, after what waits has been sent. */
  close() {
    this.isOver = true;
    clearInterval(this.timer);
    clearTimeout(this.retry);
    clearTimeout(this.pause);
    for (const text of this.queue.splice(0)) {
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send(text);
    }
    this.socket?.close(1000);
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
