// The server's answer to this page: iceServers with a credential, and the key of the room.

import { ask, bearer, token, TokenDialog } from "../server.js";
import { element } from "../words.js";

/** Seconds after which iceServers are requested again; the credential is valid for an hour. */
const freshness = 1200;

/** The room and key of the page's link: `#NAME.KEY`. */
export function linkParts() {
  const [, room, key] = /^#([\w-]+)\.([\w-]+)$/.exec(location.hash) ?? [];
  return room ? { room, key } : null;
}

const tokenDialog = new TokenDialog(
  ["A new room needs the server's ", element("code", "admin.token"), "; guests need only the link of a room. The page ",
    "keeps the token until this tab is closed."],
  "Make a room");

function askForAccess(headers, room) {
  const url = new URL("demo/access", document.baseURI);
  url.hash = "";
  if (room) url.searchParams.set("room", room);
  return ask(url, headers);
}

/** A name for a new room. */
const newRoom = () => `room-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

export class Access {
  /** The answer of the server: `room`, `key`, `iceServers`, `has-turns`, `hosts`. */
  async get(isFresh = false) {
    // The clock of performance.now() may stop while the computer sleeps.
    const age = (Date.now() - this.time) / 1000;
    if (this.answer && !isFresh && age < freshness) return this.answer;
    this.pending ??= this.fetch().finally(() => { this.pending = null; });
    return this.pending;
  }

  /** Makes the next call of get ask the server. */
  forget() { this.time = 0; }

  async fetch() {
    let problem = "";
    for (;;) {
      const link = linkParts();
      const headers = link ? { Authorization: `Room ${link.room}.${link.key}` } : bearer();
      try {
        this.answer = await askForAccess(headers, link ? "" : newRoom());
        this.time = Date.now();
        // A reload stays in the room, and the address can be copied for others.
        if (!link) history.replaceState(null, "", `#${this.answer.room}.${this.answer.key}`);
        return this.answer;
      } catch (error) {
        if (link && error.status === 403) {
          history.replaceState(null, "", location.pathname);
          problem = "This room link is no longer valid. With the server's token you can make a new room.";
          if (!await this.isOpen()) await tokenDialog.ask(problem);
        } else if (error.status === 401 || error.status === 429) {
          await tokenDialog.ask(token() ? error.message : problem);
        } else {
          throw error;
        }
      }
    }
  }

  /** Whether the server needs no token. */
  async isOpen() {
    return askForAccess({}, "probe").then(() => true, (error) => error.status !== 401);
  }

  get link() {
    const { room, key } = this.answer;
    return `${location.origin}${location.pathname}#${room}.${key}`;
  }
}
