// What the server gives to this page: iceServers with a credential, and the key of the room.

/** Seconds after which iceServers are asked for again; the credential is valid for an hour. */
const freshness = 1200;
const tokenKey = "turnpike-token";

const byId = (id) => document.getElementById(id);

/** The room and key of the page's link: `#NAME.KEY`. */
export function linkParts() {
  const [, room, key] = /^#([\w-]+)\.([\w-]+)$/.exec(location.hash) ?? [];
  return room ? { room, key } : null;
}

async function ask(headers, room) {
  const url = new URL("demo/access", document.baseURI);
  url.hash = "";
  if (room) url.searchParams.set("room", room);
  const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(15000) });
  const document_ = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw Object.assign(new Error(document_.error || `HTTP status ${answer.status}`), { status: answer.status });
  }
  return document_;
}

/** Asks for the token; resolves when one is given. */
function askForToken(problem) {
  const dialog = byId("token-dialog");
  byId("token-problem").textContent = problem;
  byId("token-problem").hidden = !problem;
  byId("token").value = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const value = byId("token").value.trim();
      if (value) sessionStorage.setItem(tokenKey, value);
      resolve();
    }, { once: true });
  });
}

/** A name for a new room. */
const newRoom = () => `room-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

export class Access {
  /** The answer of the server: `room`, `key`, `iceServers`, `has-turns`, `hosts`. */
  async get(isFresh = false) {
    const age = (performance.now() - this.time) / 1000;
    if (this.answer && !isFresh && age < freshness) return this.answer;
    this.pending ??= this.fetch().finally(() => { this.pending = null; });
    return this.pending;
  }

  async fetch() {
    let problem = "";
    for (;;) {
      const link = linkParts();
      const token = sessionStorage.getItem(tokenKey);
      const headers = {};
      if (link) headers.Authorization = `Room ${link.room}.${link.key}`;
      else if (token) headers.Authorization = `Bearer ${token}`;
      try {
        this.answer = await ask(headers, link ? "" : newRoom());
        this.time = performance.now();
        // A reload stays in the room, and the address can be copied for others.
        if (!link) history.replaceState(null, "", `#${this.answer.room}.${this.answer.key}`);
        return this.answer;
      } catch (error) {
        if (link && error.status === 403) {
          history.replaceState(null, "", location.pathname);
          problem = "This room link is not valid any more. With the server's token a new room is made.";
          if (!await this.isOpen()) await askForToken(problem);
        } else if (error.status === 401 || error.status === 429) {
          await askForToken(token ? error.message : problem);
        } else {
          throw error;
        }
      }
    }
  }

  /** Whether the server needs no token. */
  async isOpen() {
    return ask({}, "probe").then(() => true, (error) => error.status !== 401);
  }

  get link() {
    const { room, key } = this.answer;
    return `${location.origin}${location.pathname}#${room}.${key}`;
  }
}
