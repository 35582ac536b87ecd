// The figures of getStats, in a few numbers and words.

/** Sums of all streams, and the selected candidate pair. Rates come from the difference to `before`. */
export async function read(connection, before) {
  const report = await connection.getStats();
  const now = {
    time: performance.now(), bytesIn: 0, bytesOut: 0, lost: 0, received: 0, jitter: 0, frames: 0, audio: 0, pair: null,
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

const kinds = { host: "an address of this device", srflx: "the address that the server sees (a NAT's)",
  prflx: "an address that was seen on the way", relay: "a relay" };

function side(candidate, isOurs) {
  if (!candidate) return "an unknown address";
  const where = candidate.address ? ` ${candidate.address}:${candidate.port}` : "";
  const over = isOurs && candidate.candidateType === "relay"
    ? ` of this server, reached over ${(candidate.relayProtocol || "udp").toUpperCase()}` : "";
  const kind = isOurs ? kinds[candidate.candidateType]
    : { host: "its own address", srflx: "its NAT's address", prflx: "an address that was seen on the way",
      relay: "a relay of its own" }[candidate.candidateType];
  return `${kind || candidate.candidateType}${over}${where}`;
}

/** The selected pair as a sentence. */
export function pairWords(pair) {
  if (!pair) return "no path yet";
  return `From ${side(pair.local, true)} to ${side(pair.remote, false)}`;
}

/** The selected pair in short, such as `relay/tls → relay`. */
export function pairCode(pair) {
  if (!pair) return "none";
  const local = pair.local?.candidateType ?? "?";
  const over = pair.local?.relayProtocol ? `/${pair.local.relayProtocol}` : "";
  return `${local}${over} → ${pair.remote?.candidateType ?? "?"}`;
}
