// The messages between the two ends of one call. When a WebSocket breaks, messages in transit are lost. So each message
// has a number, and after a break both ends repeat the messages that the other end has not confirmed.

/** Limit of messages that wait for a confirmation; beyond it the call cannot continue after a break. */
const limit = 256;

export class Line {
  /** `carry` sends a message, which may get lost; `deliver` takes each message of the other side once, in order. */
  constructor(carry, deliver) {
    Object.assign(this, { carry, deliver, waiting: [], count: 0, got: 0, isFull: false });
  }

  send(data) {
    this.count += 1;
    const message = { ...data, number: this.count };
    if (this.waiting.length < limit) this.waiting.push(message);
    else this.isFull = true;
    this.carry({ ...message, got: this.got });
  }

  /** Repeats the unconfirmed messages after a break of either side, and confirms what has arrived. */
  resume() {
    for (const message of this.waiting) this.carry({ ...message, got: this.got });
    this.carry({ got: this.got });
  }

  take(message) {
    this.waiting = this.waiting.filter(({ number }) => number > message.got);
    // A lower number is a repetition. A higher one follows a lost message, and will be repeated after it.
    if (message.number !== this.got + 1) return;
    this.got += 1;
    this.deliver(message);
  }
}
