// The messages between the two ends of one call. A WebSocket that breaks takes with it what was under way; here each
// message has a number, and after a break both ends repeat those that the other one has not confirmed.

/** Limit of messages that wait for the other side's word; beyond it the call cannot go on after a break. */
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

  /** After a break of either side: repeats what may be lost, and tells how far we have come. */
  resume() {
    for (const message of this.waiting) this.carry({ ...message, got: this.got });
    this.carry({ got: this.got });
  }

  take(message) {
    this.waiting = this.waiting.filter(({ number }) => number > message.got);
    // A lower number is a repetition; a higher one comes after one that is lost, and will be repeated with it.
    if (message.number !== this.got + 1) return;
    this.got += 1;
    this.deliver(message);
  }
}
