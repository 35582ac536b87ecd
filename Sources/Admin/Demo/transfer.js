// Chat and files over a data channel: straight to the other browser or through the relay, never through the room.

/** Bytes of one message; every browser accepts this many. */
const chunkSize = 16384;
/** Limit of bytes in the channel's buffer; a sender beyond it waits until half of them are sent. */
const highWater = 1 << 20;
/** Limit of a file in bytes, because it is kept in memory. */
export const fileLimit = 64 << 20;

/** Milliseconds between two heartbeats, and milliseconds without one until the other side counts as silent. */
const beatTime = 2000;
const silence = 8000;

async function checksum(buffer) {
  if (!crypto.subtle) throw new Error("checksums need HTTPS or localhost");
  const digest = await crypto.subtle.digest("SHA-256", buffer);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Events: `chat` (text), `file` (name, size, blob, isIntact, checksum), `sent` (name, size, seconds, isIntact),
 * `progress` (name, part), `beat` (milliseconds), `silent`, `problem` (text).
 */
export class Transfer extends EventTarget {
  constructor(channel) {
    super();
    this.channel = channel;
    this.incoming = null;
    this.work = Promise.resolve();
    channel.bufferedAmountLowThreshold = highWater / 2;
    channel.onmessage = ({ data }) => {
      // Checksums take time; the next message waits.
      this.work = this.work.then(() => (typeof data === "string" ? this.text(JSON.parse(data)) : this.bytes(data)))
        .catch((error) => this.tell("problem", { text: error.message }));
    };
    channel.onopen = () => this.begin();
    channel.onclose = () => clearInterval(this.timer);
    if (channel.readyState === "open") this.begin();
  }

  begin() {
    this.heard = performance.now();
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      if (this.channel.readyState !== "open") return;
      this.say({ beat: performance.now() });
      if (performance.now() - this.heard > silence) this.tell("silent", {});
    }, beatTime);
    this.tell("open", {});
  }

  say(message) { this.channel.send(JSON.stringify(message)); }

  chat(text) { this.say({ chat: text }); }

  async text(message) {
    this.heard = performance.now();
    if (typeof message.chat === "string") this.tell("chat", { text: message.chat });
    if (typeof message.beat === "number") this.say({ echo: message.beat });
    if (typeof message.echo === "number") this.tell("beat", { milliseconds: performance.now() - message.echo });
    if (message.file) this.announced(message.file);
    if (message.end) await this.received(message.end);
    if (message.got) this.confirmed(message.got);
  }

  // ---- Sending

  async send(file) {
    if (file.size > fileLimit) throw new Error(`the limit is ${fileLimit / (1 << 20)} MiB`);
    if (this.sending) throw new Error("another file is being sent");
    this.sending = { name: file.name, size: file.size, begin: performance.now() };
    try {
      const buffer = await file.arrayBuffer();
      this.sending.checksum = await checksum(buffer);
      this.say({ file: { name: file.name, size: file.size } });
      for (let offset = 0; offset < buffer.byteLength; offset += chunkSize) {
        if (this.channel.bufferedAmount > highWater) await this.drained();
        this.channel.send(buffer.slice(offset, offset + chunkSize));
        this.tell("progress", { name: file.name, part: offset / buffer.byteLength });
      }
      this.say({ end: this.sending.checksum });
    } catch (error) {
      this.sending = null;
      throw error;
    }
  }

  drained() {
    return new Promise((resolve, reject) => {
      this.channel.addEventListener("bufferedamountlow", resolve, { once: true });
      this.channel.addEventListener("close", () => reject(new Error("the channel was closed")), { once: true });
    });
  }

  confirmed(got) {
    if (!this.sending) return;
    const { name, size, begin, checksum: own } = this.sending;
    this.sending = null;
    const seconds = (performance.now() - begin) / 1000;
    this.tell("sent", { name, size, seconds, isIntact: got === own, checksum: own });
  }

  // ---- Receiving

  announced({ name, size }) {
    const fits = Number.isInteger(size) && size >= 0 && size <= fileLimit;
    this.incoming = fits ? { name: String(name).slice(0, 200), size, parts: [], count: 0 } : null;
  }

  bytes(data) {
    this.heard = performance.now();
    const incoming = this.incoming;
    if (!incoming || !data.byteLength) return;
    incoming.count += data.byteLength;
    if (incoming.count > incoming.size) {
      this.incoming = null;
      return;
    }
    incoming.parts.push(data);
    this.tell("progress", { name: incoming.name, part: incoming.count / incoming.size });
  }

  async received(expected) {
    const incoming = this.incoming;
    this.incoming = null;
    if (!incoming) return;
    // The sender's type is not used, because the browser must not open the file as a page.
    const blob = new Blob(incoming.parts, { type: "application/octet-stream" });
    const own = await checksum(await blob.arrayBuffer()).catch((error) => {
      this.say({ got: "none" });
      throw error;
    });
    this.say({ got: own });
    this.tell("file", { name: incoming.name, size: incoming.count, blob, isIntact: own === expected, checksum: own });
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
