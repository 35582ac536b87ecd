// The demo page of Turnpike: tabs, settings and the link. It sends requests only to the server that it comes from.
// Texts of other people are set as text, never as HTML.

import { Access, linkParts } from "./access.js";
import { Check, only } from "./check.js";
import { mayCapture } from "./media.js";
import { RoomView } from "./room.js";
import { drawCode } from "./qr.js";

const byId = (id) => document.getElementById(id);

const access = new Access();

// ---- Settings

function ownServers() {
  const text = byId("own-servers").value.trim();
  if (!text) return null;
  const value = JSON.parse(text);
  const servers = Array.isArray(value) ? value : value?.iceServers ?? [value];
  for (const server of servers) {
    const urls = [server?.urls ?? []].flat();
    if (!urls.length) throw new Error("each server needs urls");
    if (!urls.every((url) => /^(stun|turn)s?:/.test(url))) throw new Error("urls must begin with turn: or stun:");
    const needsLogin = urls.some((url) => url.startsWith("turn"));
    if (needsLogin && !(server.username && server.credential)) {
      throw new Error("a turn: server needs username and credential");
    }
  }
  return servers;
}

/** The argument of RTCPeerConnection, with the settings of this page. */
async function configuration() {
  const chosen = byId("transport").value;
  let iceServers = ownServers() ?? (await access.get()).iceServers;
  if (chosen !== "any") iceServers = only(iceServers, chosen);
  return {
    iceServers,
    iceTransportPolicy: byId("relay-only").checked ? "relay" : "all",
    bundlePolicy: "max-bundle",
  };
}

function checkOwnServers() {
  let problem = "";
  try {
    ownServers();
  } catch (error) {
    problem = `Not used: ${error.message}`;
  }
  byId("own-problem").textContent = problem;
  byId("own-problem").hidden = !problem;
}

// ---- Tabs

const room = new RoomView(access, configuration);
const check = new Check((isFresh) => access.get(isFresh));

function show(mode) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.mode === mode));
  }
  byId("view-check").hidden = mode !== "check";
  byId("view-room").hidden = mode === "check";
  check.stop();
  room.show(mode);
  sessionStorage.setItem("turnpike-demo-mode", mode);
}

// ---- The link and the second device

function tellAboutCameras() {
  if (mayCapture()) return;
  byId("insecure").hidden = false;
  byId("insecure").textContent = "Browsers allow camera, microphone and screen only over HTTPS and on localhost. "
    + "This page came over plain HTTP, so it has only the test picture. Start the server with: turnpike demo --lan";
}

/** Shows how to use a second device, with a QR code for its camera. */
function showLink() {
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  byId("link-text").value = access.link;
  byId("link-words").textContent = isLocal
    ? "This link works only on this computer: open it in a second window or browser. For a phone or another computer "
      + "start the server with turnpike demo --lan, which serves this page over HTTPS."
    : "Open this link on the other device. If its browser warns of the certificate, the server has its own "
      + "self-signed one: choose Advanced, then proceed. With tls.certificate the server uses a real one.";
  // An SVG element has no property `hidden`.
  byId("link-code").toggleAttribute("hidden", isLocal);
  if (!isLocal) drawCode(byId("link-code"), access.link);
  byId("link-dialog").showModal();
  byId("link-text").setSelectionRange(0, 0);
}

async function copyLink() {
  const field = byId("link-text");
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    field.select();
    document.execCommand("copy");
  }
  byId("link-copy").textContent = "Copied";
  setTimeout(() => { byId("link-copy").textContent = "Copy"; }, 1500);
}

async function begin() {
  tellAboutCameras();
  for (const tab of document.querySelectorAll("[role=tab]")) tab.onclick = () => show(tab.dataset.mode);
  byId("own-servers").oninput = checkOwnServers;
  byId("show-link").onclick = showLink;
  byId("link-copy").onclick = (event) => {
    event.preventDefault();
    copyLink();
  };
  addEventListener("hashchange", () => location.reload());
  addEventListener("pagehide", () => room.hangUp());
  const hadLink = !!linkParts();
  try {
    const { room: name } = await access.get();
    byId("state").textContent = name;
    byId("state").className = "pill ready";
    byId("show-link").hidden = false;
  } catch (error) {
    byId("notice").textContent = `The server gives no access: ${error.message}`;
    byId("notice").hidden = false;
    return;
  }
  const last = sessionStorage.getItem("turnpike-demo-mode");
  show(last || (hadLink ? "call" : "check"));
}

// The browser's console can inspect this object, for example demo.room.session.peers.
globalThis.demo = { access, room, check, configuration };
begin();
