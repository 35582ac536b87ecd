// The check: which candidates this browser finds with this server, which transports work, and how well a relay carries
// media. Everything runs in this one tab; no other person is needed.

import { element } from "../words.js";
import { explainError, relayProtocol, row } from "./candidates.js";
import { close, testPicture } from "./media.js";
import { addTo, makePlots } from "./plot.js";
import { pairWords, read } from "./stats.js";

const byId = (id) => document.getElementById(id);
const longest = 10000;

/** Gathers candidates and calls `found` for each. Resolves with the errors when gathering has ended. */
export async function gather(configuration, found, time = longest) {
  const connection = new RTCPeerConnection(configuration);
  const begin = performance.now();
  const errors = [];
  try {
    connection.createDataChannel("check");
    const end = new Promise((resolve) => {
      connection.onicecandidate = ({ candidate }) => {
        if (!candidate) resolve();
        else if (candidate.candidate) found(candidate, performance.now() - begin);
      };
      connection.onicecandidateerror = (event) => {
        errors.push({ code: event.errorCode, text: event.errorText, url: event.url });
      };
      setTimeout(resolve, time);
    });
    await connection.setLocalDescription();
    await end;
  } finally {
    connection.close();
  }
  return errors;
}

const transportOf = (url) => (url.startsWith("turns:") ? "tls" : url.includes("transport=tcp") ? "tcp" : "udp");

/** The servers with only the turn: and turns: URLs of one transport. */
export function only(servers, transport) {
  return servers.map((server) => {
    const urls = [server.urls].flat().filter((url) => url.startsWith("turn") && transportOf(url) === transport);
    return { ...server, urls };
  }).filter((server) => server.urls.length);
}

function verdict(transport, text, kind) {
  const item = byId(`verdict-${transport}`);
  item.className = `verdict ${kind}`;
  item.querySelector("p").textContent = text;
}

async function tryTransport(transport, access) {
  const iceServers = only(access.iceServers, transport);
  const name = transport.toUpperCase();
  if (!iceServers.length) {
    verdict(transport, transport === "tls" && !access["has-turns"]
      ? "Not offered: the server's certificate is self-signed or has no DNS name, and a browser accepts neither for "
        + "turns: URLs. Set tls.certificate to a certificate for a name."
      : `Not offered: the server has no ${name} listener that clients can reach.`, "none");
    return;
  }
  let first = null;
  const errors = await gather({ iceServers, iceTransportPolicy: "relay" }, (candidate, after) => {
    first ??= { candidate, after };
  });
  if (first) {
    verdict(transport, `Works: a relay after ${Math.round(first.after)} ms.`, "good");
    return;
  }
  const error = errors.find(({ code }) => code !== 701) ?? errors[0];
  verdict(transport, error ? explainError(error, transport)
    : `No relay in ${longest / 1000} s and no reason given: a firewall may drop the packets.`, "bad");
}

export class Check {
  constructor(getAccess) {
    this.getAccess = getAccess;
    byId("check-start").onclick = () => this.run();
    byId("check-stop").onclick = () => this.stop();
  }

  async run() {
    this.stop();
    const run = {};
    this.current = run;
    byId("check-start").disabled = true;
    try {
      const access = await this.getAccess(true);
      const body = byId("check-candidates");
      body.replaceChildren();
      const kinds = new Set();
      await Promise.all([
        gather({ iceServers: access.iceServers }, (candidate, after) => {
          kinds.add(candidate.type || "");
          body.append(row(candidate, after));
        }),
        ...["udp", "tcp", "tls"].map((transport) => tryTransport(transport, access)),
      ]);
      byId("check-words").textContent = this.summary(kinds);
      if (this.current === run && kinds.has("relay")) await this.loop(run, access);
    } catch (error) {
      byId("check-words").textContent = `The check failed: ${error.message}`;
    } finally {
      byId("check-start").disabled = false;
    }
  }

  summary(kinds) {
    const parts = [];
    parts.push(kinds.has("host") ? "The browser offers addresses of this device (host)."
      : "The browser shows no address of this device: it hides the addresses, or there is no network.");
    parts.push(kinds.has("srflx")
      ? "The server sees another address than the device has: there is a NAT between (srflx)."
      : "There is no srflx candidate: no NAT between this device and the server, or UDP does not get through.");
    parts.push(kinds.has("relay") ? "Relays work (relay)." : "No relay was given: calls through the server will fail.");
    return parts.join(" ");
  }

  /** A call from this tab to itself that may use only relays. */
  async loop(run, access) {
    const configuration = { iceServers: access.iceServers, iceTransportPolicy: "relay", bundlePolicy: "max-bundle" };
    const ends = [new RTCPeerConnection(configuration), new RTCPeerConnection(configuration)];
    const stream = testPicture();
    const early = [[], []];
    Object.assign(run, { ends, stream });
    ends.forEach((end, index) => {
      const other = ends[1 - index];
      end.onicecandidate = ({ candidate }) => {
        if (!candidate) return;
        if (other.remoteDescription) other.addIceCandidate(candidate).catch(() => {});
        else early[1 - index].push(candidate);
      };
    });
    const begin = performance.now();
    ends[1].ontrack = (event) => { byId("check-video").srcObject = event.streams[0]; };
    ends[1].onconnectionstatechange = () => {
      if (ends[1].connectionState === "connected") run.connected = Math.round(performance.now() - begin);
      if (ends[1].connectionState === "failed") byId("check-path").textContent = "The relays do not reach each other.";
    };
    for (const track of stream.getTracks()) ends[0].addTrack(track, stream);
    await ends[0].setLocalDescription();
    await ends[1].setRemoteDescription(ends[0].localDescription);
    await ends[1].setLocalDescription();
    await ends[0].setRemoteDescription(ends[1].localDescription);
    for (const [index, list] of early.entries()) {
      for (const candidate of list) ends[index].addIceCandidate(candidate).catch(() => {});
    }
    byId("check-call").hidden = false;
    byId("check-stop").hidden = false;
    const plots = makePlots(byId("check-plots"));
    run.timer = setInterval(async () => {
      const figures = await read(ends[1], run.figures);
      run.figures = figures;
      if (!figures.pair || !run.connected) return;
      addTo(plots, figures);
      byId("check-path").textContent =
        `Connected after ${run.connected} ms. ${pairWords(figures.pair)}. ${figures.frames} pictures decoded.`;
      byId("check-call").dataset.frames = figures.frames;
      byId("check-call").dataset.audio = figures.audio;
    }, 1000);
  }

  stop() {
    const run = this.current;
    this.current = null;
    byId("check-stop").hidden = true;
    if (!run?.ends) return;
    clearInterval(run.timer);
    for (const end of run.ends) end.close();
    close(run.stream);
  }
}

/** Fills a table with the candidates of a connection, ours first. */
export function listCandidates(body, peer) {
  const rows = peer.local.map(({ candidate, after }) => row(candidate, after));
  body.replaceChildren(...rows);
  if (!rows.length) {
    const line = element("tr");
    line.append(element("td", "None yet.", { colspan: "6" }));
    body.append(line);
  }
}

export { relayProtocol };
