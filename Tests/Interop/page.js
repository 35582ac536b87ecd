"use strict";

// One end of a call, controlled by the test: every function of `call` takes and returns JSON values, and the test's
// driver carries the signalling between two pages in any browsers.

const BULK_BYTES = 1024 * 1024;
const CHUNK_BYTES = 16 * 1024;

const call = {
  /** Makes the connection. options: { iceServers, policy, media, caller } */
  async start(options) {
    this.errors = [];
    this.candidates = [];
    this.gathered = [];
    this.remoteQueue = [];
    this.bulk = { sent: false, received: 0, intact: false };
    this.since = null;
    this.connectedAfter = null;
    const connection = new RTCPeerConnection({
      iceServers: options.iceServers,
      iceTransportPolicy: options.policy,
      bundlePolicy: "max-bundle",
    });
    this.connection = connection;
    connection.onicecandidate = (event) => {
      if (!event.candidate || !event.candidate.candidate) return;
      this.candidates.push(event.candidate.toJSON());
      this.gathered.push(event.candidate.candidate);
    };
    connection.onicecandidateerror = (event) => {
      this.errors.push({ code: event.errorCode, text: event.errorText, url: event.url });
    };
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "connected" && this.connectedAfter === null) {
        this.connectedAfter = Math.round(performance.now() - this.since);
      }
    };
    if (options.media) {
      const constraints = { audio: true, video: { width: 320, height: 240, frameRate: 15 } };
      this.stream = await navigator.mediaDevices.getUserMedia(constraints);
      for (const track of this.stream.getTracks()) connection.addTrack(track, this.stream);
      connection.ontrack = (event) => this.play(event.track);
    }
    this.players = [];
    // Both ends create the same channel, so neither waits for the other's announcement.
    this.channel = connection.createDataChannel("bulk", { negotiated: true, id: 1 });
    this.channel.binaryType = "arraybuffer";
    this.receiveBulk(this.channel);
    this.channel.onopen = () => this.sendBulk(this.channel);
    return {};
  },

  async offer() {
    await this.connection.setLocalDescription(await this.connection.createOffer());
    this.since = performance.now();
    return this.connection.localDescription.toJSON();
  },

  async answer(offer) {
    await this.connection.setRemoteDescription(offer);
    await this.connection.setLocalDescription(await this.connection.createAnswer());
    this.since = performance.now();
    return this.connection.localDescription.toJSON();
  },

  async accept(answer) {
    await this.connection.setRemoteDescription(answer);
    return {};
  },

  /** Adds the other end's new candidates. Returns this end's new candidates and the call's progress. */
  async poll(remoteCandidates) {
    for (const candidate of remoteCandidates) await this.connection.addIceCandidate(candidate);
    const candidates = this.candidates;
    this.candidates = [];
    return { candidates, ...(await this.progress()) };
  },

  async progress() {
    const result = {
      state: this.connection.connectionState,
      gathering: this.connection.iceGatheringState,
      connectedAfter: this.connectedAfter,
      gathered: this.gathered,
      errors: this.errors,
      bulk: this.bulk,
      audio: { bytes: 0, packets: 0, lost: 0, energy: 0 },
      video: { bytes: 0, packets: 0, lost: 0, frames: 0 },
      pair: null,
    };
    const statistics = await this.connection.getStats();
    statistics.forEach((entry) => {
      if (entry.type !== "inbound-rtp") return;
      const figures = result[entry.kind];
      figures.bytes += entry.bytesReceived || 0;
      figures.packets += entry.packetsReceived || 0;
      figures.lost += entry.packetsLost || 0;
      if (entry.kind === "video") figures.frames += entry.framesDecoded || 0;
      else figures.energy += entry.totalAudioEnergy || 0;
    });
    result.pair = this.selectedPair(statistics);
    return result;
  },

  selectedPair(statistics) {
    let pair = null;
    statistics.forEach((entry) => {
      if (entry.type === "transport" && entry.selectedCandidatePairId) {
        pair = statistics.get(entry.selectedCandidatePairId) || pair;
      }
    });
    if (!pair) {
      statistics.forEach((entry) => {
        if (entry.type === "candidate-pair" && entry.selected) pair = entry;
      });
    }
    if (!pair) return null;
    const describe = (identifier) => {
      const candidate = statistics.get(identifier);
      if (!candidate) return null;
      return {
        type: candidate.candidateType,
        address: candidate.address || candidate.ip,
        port: candidate.port,
        relayProtocol: candidate.relayProtocol || null,
      };
    };
    const seconds = pair.currentRoundTripTime;
    return {
      local: describe(pair.localCandidateId),
      remote: describe(pair.remoteCandidateId),
      roundTripMilliseconds: seconds === undefined ? null : Math.round(seconds * 10000) / 10,
    };
  },

  async stop() {
    if (this.stream) for (const track of this.stream.getTracks()) track.stop();
    if (this.connection) this.connection.close();
    for (const player of this.players || []) player.remove();
    this.connection = null;
    return {};
  },

  /** Browsers decode only video that is visible. */
  play(track) {
    const player = document.createElement(track.kind);
    player.autoplay = true;
    player.muted = track.kind === "video";
    player.srcObject = new MediaStream([track]);
    document.documentElement.append(player);
    player.play().catch(() => {});
    this.players.push(player);
  },

  /** Sends 1 MiB that differs from run to run, and then its SHA-256 as text. */
  async sendBulk(channel) {
    const bytes = new Uint8Array(BULK_BYTES);
    for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
    channel.bufferedAmountLowThreshold = 4 * CHUNK_BYTES;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      if (channel.bufferedAmount > 8 * CHUNK_BYTES) {
        await new Promise((resolve) => channel.addEventListener("bufferedamountlow", resolve, { once: true }));
      }
      channel.send(bytes.subarray(at, at + CHUNK_BYTES));
    }
    channel.send(await digest(bytes));
    this.bulk.sent = true;
  },

  receiveBulk(channel) {
    const received = new Uint8Array(BULK_BYTES);
    let length = 0;
    channel.onmessage = async (event) => {
      if (typeof event.data === "string") {
        this.bulk.intact = length === BULK_BYTES && (await digest(received)) === event.data;
        return;
      }
      const chunk = new Uint8Array(event.data);
      if (length + chunk.length <= BULK_BYTES) received.set(chunk, length);
      length += chunk.length;
      this.bulk.received = length;
    };
  },
};

async function digest(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
