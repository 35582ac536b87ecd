// ICE candidates as rows of a table, and reasons why one is missing.

import { element } from "../words.js";

/** The parts of a candidate: `candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host …` (RFC 8839 section 5.1). */
export function parse(text) {
  const parts = text.replace(/^candidate:/, "").split(" ");
  const after = (name) => {
    const index = parts.indexOf(name);
    return index < 0 ? "" : parts[index + 1];
  };
  return {
    protocol: (parts[2] || "").toLowerCase(), priority: Number(parts[3]), address: parts[4] || "",
    port: parts[5] || "", type: after("typ"), base: after("raddr"), tcpType: after("tcptype"),
  };
}

/** The transport to a relay. Without relayProtocol it follows from the type preference, the priority's highest byte. */
export function relayProtocol(candidate) {
  if (candidate.relayProtocol) return candidate.relayProtocol;
  const preference = parse(candidate.candidate).priority >>> 24;
  // Firefox has one preference for TCP and TLS.
  if ("mozInnerScreenX" in window && preference === 0) return "tcp or tls";
  return { 0: "tls", 1: "tcp" }[preference] ?? "udp";
}

/** Host and port of the server that gave a candidate, such as `192.0.2.1:3478`; some browsers give no URL. */
function serverOf(url) {
  return url ? url.replace(/^\w+:/, "").split("?")[0] : "–";
}

export function row(candidate, after) {
  const parts = parse(candidate.candidate);
  const line = element("tr");
  const over = parts.type === "relay" ? relayProtocol(candidate) : "";
  const cells = {
    type: over ? `relay over ${over.toUpperCase()}` : parts.type,
    protocol: parts.tcpType ? `${parts.protocol} ${parts.tcpType}` : parts.protocol,
    address: parts.address.includes(":") ? `[${parts.address}]:${parts.port}` : `${parts.address}:${parts.port}`,
    server: serverOf(candidate.url), priority: String(parts.priority), time: `${Math.round(after)} ms`,
  };
  for (const [name, text] of Object.entries(cells)) {
    line.append(element("td", text, { "data-name": name, "data-label": name }));
  }
  line.dataset.type = parts.type;
  return line;
}

/** The reason why a server gave no candidate, from the browser's icecandidateerror. */
export function explainError({ code, text, url }, transport) {
  switch (code) {
    case 401: return "The server refuses the credential (401).";
    case 403: return "The server forbids this (403).";
    case 486: return "The quota of this user or address is used up (486).";
    case 508: return "The server has no room for more relays (508).";
    case 701:
      return transport === "tls"
        ? "No TLS connection (701): a firewall closes the port, or the browser does not trust the certificate."
        : `No answer from ${url?.split("?")[0] || "the server"} (701): a firewall closes the port, or the address is `
          + "wrong.";
    default: return `Error ${code}: ${text || "no reason given"}.`;
  }
}
