// Reads a few figures from getStats, and describes the path.

/** Sums of all streams, and the selected candidate pair. Rates come from the difference to `before`. */
export async function read(connection, before) {
  const report = await connection.getStats();
  const now = {
    time: performance.now(), bytesIn: 0, bytesOut: 0, lost: 0, received: 0, jitter: 0, frames: 0, audio: 0, pair: null,
    farJitter: 0, farLoss: 0,
  };
  for (const entry of report.values()) {
    if (entry.type === "inbound-rtp") {
      now.bytesIn += entry.bytesReceived || 0;
      now.lost += Math.max(0, entry.packetsLost || 0);
      now.received += entry.packetsReceived || 0;
      now.jitter = Math.max(now.jitter, (entry.jitter || 0) * 1000);
      if (entry.kind === "video") now.frames += entry.framesDecoded || 0;
      else now.audio += entry.packetsReceived || 0;
    }
    // The other side reports how our packets arrive.
    if (entry.type === "remote-inbound-rtp") {
      now.farJitter = Math.max(now.farJitter, (entry.jitter || 0) * 1000);
      now.farLoss = Math.max(now.farLoss, (entry.fractionLost || 0) * 100);
    }
    if (entry.type === "outbound-rtp") now.bytesOut += entry.bytesSent || 0;
  }
  now.pair = selectedPair(report);
  now.roundTrip = (now.pair?.pair.currentRoundTripTime ?? 0) * 1000;
  if (before) {
    const seconds = Math.max(0.001, (now.time - before.time) / 1000);
    now.rateIn = Math.max(0, (now.bytesIn - before.bytesIn) * 8 / seconds);
    now.rateOut = Math.max(0, (now.bytesOut - before.bytesOut) * 8 / seconds);
    const packets = now.received - before.received + now.lost - before.lost;
    now.loss = packets > 0 ? Math.max(0, (now.lost - before.lost) / packets * 100) : 0;
  }
  return now;
}

function selectedPair(report) {
  const all = [...report.values()];
  const id = all.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId)?.selectedCandidatePairId;
  const pair = (id && report.get(id))
    ?? all.find((entry) => entry.type === "candidate-pair"
      && (entry.selected || (entry.nominated && entry.state === "succeeded")));
  if (!pair) return null;
  return { pair, local: report.get(pair.localCandidateId), remote: report.get(pair.remoteCandidateId) };
}

const ours = { host: "this device's address", srflx: "this device's NAT", prflx: "this device's address on the way",
  relay: "the relay" };
const theirs = { host: "the other side's own address", srflx: "the other side's NAT", prflx: "the other side's address",
  relay: "the other side's relay" };

function side(candidate, kinds) {
  if (!candidate) return "an unknown address";
  const where = candidate.address ? ` ${candidate.address}:${candidate.port}` : "";
  const over = kinds === ours && candidate.candidateType === "relay"
    ? `, reached over ${(candidate.relayProtocol || "udp").toUpperCase()},` : "";
  return `${kinds[candidate.candidateType] || candidate.candidateType}${where}${over}`;
}

/** The selected pair as a sentence. */
export function pairWords(pair) {
  if (!pair) return "no path yet";
  return `From ${side(pair.local, ours)} to ${side(pair.remote, theirs)}`;
}

/** The selected pair in short, such as `relay/tls → relay`. */
export function pairCode(pair) {
  if (!pair) return "none";
  const local = pair.local?.candidateType ?? "?";
  const over = pair.local?.relayProtocol ? `/${pair.local.relayProtocol}` : "";
  return `${local}${over} → ${pair.remote?.candidateType ?? "?"}`;
}
