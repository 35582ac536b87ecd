// The dashboard of Turnpike. It sends requests only to the API of the server that it comes from. Texts of clients, such
// as user names, are set as text, never as HTML.

import { Chart } from "./chart.js";
import { ask, bearer, token, TokenDialog } from "./server.js";
import { age, bitRate, element, scaled, shortWords, splitName, words } from "./words.js";

const statusInterval = 5000;
const longestList = 500;

const byId = (id) => document.getElementById(id);

const tokenDialog = new TokenDialog(
  ["This server asks for its ", element("code", "admin.token"), ". The page keeps it until this tab is closed."],
  "Open the dashboard");

// ---- The last hour

const amount = (value) => shortWords(value, "");
const charts = {
  allocations: new Chart("chart-allocations", [{ key: "first", name: "allocations" }], amount, 4),
  traffic: new Chart("chart-traffic", [{ key: "first", name: "to peers" }, { key: "second", name: "to clients" }],
    (value, isAxis) => (isAxis ? shortWords : words)(value, "bit/s"), 1000),
  drops: new Chart("chart-drops", [{ key: "third", name: "drops" }, { key: "fourth", name: "failed logins" }],
    (value, isAxis) => `${amount(value)}${isAxis ? "/s" : " a second"}`, 2),
};

function showHistory(history) {
  const end = Date.parse(history.end);
  const bits = (name) => history[name].map((bytes) => bytes * 8);
  charts.allocations.show([history.allocations], history.interval, end);
  charts.traffic.show([bits("to-peers"), bits("to-clients")], history.interval, end);
  charts.drops.show([history.drops, history["failed-logins"]], history.interval, end);
  setNumber("now-drops", scaled(history.drops.at(-1) ?? 0, "/s"));
}

function setNumber(id, [value, unit]) {
  byId(id).replaceChildren(value, element("small", unit));
}

// ---- State

let lastTraffic;

function showStatus(status) {
  const state = byId("state");
  state.textContent = status.state;
  state.className = `pill ${status.state}`;
  byId("version").textContent = `version ${status.version}, up ${age(status.seconds)}`;
  document.title = `${status.allocations} allocations – Turnpike`;
  setNumber("now-allocations", [status.allocations.toLocaleString(), ""]);
  const traffic = { at: performance.now(), toPeers: status["to-peers"].bytes, toClients: status["to-clients"].bytes };
  if (lastTraffic) {
    const seconds = (traffic.at - lastTraffic.at) / 1000;
    const rate = (name) => Math.max(0, ((traffic[name] - lastTraffic[name]) * 8) / seconds);
    setNumber("now-to-peers", scaled(rate("toPeers"), "bit/s"));
    setNumber("now-to-clients", scaled(rate("toClients"), "bit/s"));
  }
  lastTraffic = traffic;
  showFacts(status);
}

function facts(id, rows) {
  byId(id).replaceChildren(...rows.flatMap(([name, value, kind]) =>
    [element("dt", name), element("dd", value, kind ? { class: kind } : {})]));
}

function showFacts(status) {
  const { certificate } = status;
  if (certificate.expires) {
    const days = Math.floor((Date.parse(certificate.expires) - Date.now()) / 86400000);
    facts("certificate", [["Expires", certificate.expires.slice(0, 10)],
      ["Days left", String(days), days < 0 ? "bad" : days < 15 ? "warn" : ""],
      ["Names", certificate.names.slice(0, 6).join(", ") + (certificate.names.length > 6 ? ", …" : "")]]);
  } else {
    facts("certificate", [["Certificate", "none"]]);
  }
  facts("node", [["Engine", status.engine], ["Started", new Date(status.started).toLocaleString()],
    ["Listeners", status.listeners.join("\n")], ["Relay addresses", status["relay-addresses"].join("\n")],
    ["Relay ports", status["relay-ports"]]]);
  facts("stores", status.stores.length
    ? status.stores.map((store) => [store.realms.join(", "), store["is-open"] ? "open" : "cannot be read",
      store["is-open"] ? "" : "bad"])
    : [["Store", "none"]]);
  facts("shards", status.shards.map((shard, number) =>
    [`Shard ${number}`, `${shard.allocations} allocations, ${shard.connections} connections`]));
}

// ---- Sessions

let sessions = [];
let hasMore = false;
/** The bytes of each session at the last poll. */
let counts = new Map();
let sort = { by: "seconds", isAscending: true };

function takeSessions(list) {
  const now = performance.now();
  const fresh = new Map();
  sessions = list.sessions.map((session) => {
    const count = { at: now, toPeers: session["to-peers"].bytes, toClient: session["to-client"].bytes };
    const last = counts.get(session.id);
    fresh.set(session.id, count);
    const seconds = last ? (now - last.at) / 1000 : session.seconds || 1;
    const rate = (name) => Math.max(0, (count[name] - (last?.[name] ?? 0)) / seconds);
    return { ...session, toPeers: rate("toPeers"), toClient: rate("toClient") };
  });
  counts = fresh;
  hasMore = list.next !== undefined;
  drawSessions();
}

function query() {
  const filter = byId("filter").value.trim();
  // A complete list is filtered in this page, also by parts of a name.
  if (!filter || !hasMore) return "";
  const isAddress = /^[0-9.]+$/.test(filter) || filter.includes(":");
  return `&${isAddress ? "client" : "user"}=${encodeURIComponent(filter)}`;
}

function drawSessions() {
  const filter = byId("filter").value.trim().toLowerCase();
  const shown = sessions.filter((session) =>
    !filter || session.user.toLowerCase().includes(filter) || session.client.toLowerCase().includes(filter));
  const order = sort.isAscending ? 1 : -1;
  shown.sort((a, b) => order * (a[sort.by] < b[sort.by] ? -1 : a[sort.by] > b[sort.by] ? 1 : 0));
  const body = document.querySelector("#sessions tbody");
  // The new row of the same session gets the focus back.
  const focused = document.activeElement?.dataset?.id;
  body.replaceChildren(...shown.map(row));
  if (focused) body.querySelector(`button[data-id="${CSS.escape(focused)}"]`)?.focus();
  byId("session-count").textContent = filter ? `${shown.length} of ${sessions.length}` : String(sessions.length);
  byId("no-sessions").hidden = shown.length > 0;
  byId("no-sessions").textContent = filter ? "No session matches the filter." : "No live sessions.";
  byId("more-sessions").hidden = !hasMore;
  byId("more-sessions").textContent =
    `These are the first ${longestList}. To find another one, filter by its whole user name or client address.`;
}

function cell(name, label, attributes = {}) { return element("td", "", { "data-name": name, "data-label": label, ...attributes }); }

function row(session) {
  const line = element("tr");
  const user = cell("user", "User");
  const [name, until] = splitName(session.user);
  user.append(name, element("small", until ? `${session.realm}, until ${until}` : session.realm));
  user.title = session.user;
  const client = cell("client", "Client");
  client.append(session.client, element("span", session.transport.toUpperCase(), { class: "tag" }));
  const relayed = cell("relayed", "Relayed");
  relayed.append(element("span", session.relayed + (session["second-relayed"] ? ` ${session["second-relayed"]}` : "")));
  const rate = (name, label, value, total) => {
    const node = cell(name, label, { class: "right" });
    node.append(bitRate(value), element("small", words(total.bytes, "B")));
    return node;
  };
  const old = cell("age", "Age", { class: "right" });
  old.append(age(session.seconds));
  const action = cell("action", "", {});
  const button = element("button", "End", { class: "action", type: "button", "data-id": session.id });
  button.addEventListener("click", () => end(session));
  action.append(button);
  line.append(user, client, relayed, old, rate("to-peers", "To peers", session.toPeers, session["to-peers"]),
    rate("to-client", "To client", session.toClient, session["to-client"]), action);
  return line;
}

function end(session) {
  const dialog = byId("end-dialog");
  byId("end-text").textContent =
    `${splitName(session.user)[0]} from ${session.client} loses the relay ${session.relayed} at once.`;
  dialog.returnValue = "";
  dialog.showModal();
  dialog.addEventListener("close", async () => {
    if (dialog.returnValue !== "end") return;
    try {
      await ask(`api/v1/sessions/${encodeURIComponent(session.id)}`, bearer(), "DELETE");
    } catch (error) {
      // 404: the session has ended meanwhile.
      if (error.status !== 404) notice(`The session was not ended: ${error.message}`);
    }
    await refresh();
  }, { once: true });
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const by = button.dataset.sort;
    sort = { by, isAscending: sort.by === by ? !sort.isAscending : by === "user" || by === "client" };
    markSort();
    drawSessions();
  });
}

function markSort() {
  for (const button of document.querySelectorAll("th button")) {
    const isChosen = button.dataset.sort === sort.by;
    button.setAttribute("aria-sort", isChosen ? (sort.isAscending ? "ascending" : "descending") : "none");
  }
}

let typing;
byId("filter").addEventListener("input", () => {
  drawSessions();
  clearTimeout(typing);
  if (hasMore) typing = setTimeout(refresh, 400);
});

// ---- The loop

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

let isRefreshing = false;
let nextHistory = 0;

async function refresh() {
  if (isRefreshing) return;
  isRefreshing = true;
  try {
    showStatus(await ask("api/v1/status", bearer()));
    takeSessions(await ask(`api/v1/sessions?limit=${longestList}${query()}`, bearer()));
    if (performance.now() >= nextHistory) {
      showHistory(await ask("api/v1/history", bearer()));
      nextHistory = performance.now() + 9000;
    }
    notice("");
  } catch (error) {
    if (error.status === 401) {
      await tokenDialog.ask(token() ? "This is not the token." : "");
      setTimeout(refresh, 0);
    } else {
      byId("state").textContent = "no answer";
      byId("state").className = "pill lost";
      notice(error.status ? error.message : "The server does not answer. This page tries again every few seconds.");
    }
  } finally {
    isRefreshing = false;
  }
}

markSort();
refresh();
setInterval(() => { if (!document.hidden) refresh(); }, statusInterval);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
