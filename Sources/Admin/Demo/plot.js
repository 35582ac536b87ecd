// Small live plots of one value.

import { element, words } from "../words.js";

const space = "http://www.w3.org/2000/svg";
const width = 240;
const height = 56;
const capacity = 60;

export class Plot {
  /** `unit` follows the number; with `scales` it gets the prefixes k, M, G and T. */
  constructor(parent, name, unit, scales = false) {
    Object.assign(this, { unit, scales, values: [] });
    this.number = element("span", "–", { class: "plot-number" });
    this.box = element("div", "", { class: "plot" });
    const title = element("p", name, { class: "plot-name" });
    title.append(this.number);
    this.line = document.createElementNS(space, "polyline");
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", name);
    svg.append(this.line);
    this.box.append(title, svg);
    parent.append(this.box);
  }

  add(value) {
    if (!Number.isFinite(value)) return;
    this.values.push(value);
    if (this.values.length > capacity) this.values.shift();
    const most = Math.max(...this.values, 1e-9);
    const points = this.values.map((one, index) =>
      `${(index / (capacity - 1) * width).toFixed(1)},${(height - 3 - one / most * (height - 8)).toFixed(1)}`);
    this.line.setAttribute("points", points.join(" "));
    this.number.textContent = this.scales ? words(value, this.unit)
      : `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${this.unit}`;
  }

  clear() {
    this.values = [];
    this.line.setAttribute("points", "");
    this.number.textContent = "–";
  }
}

/** Bit rate, round-trip time, jitter and loss of the media that we receive; with `isSender`, of those that we send. */
export function makePlots(parent, isSender = false) {
  parent.replaceChildren();
  return {
    isSender,
    rate: new Plot(parent, isSender ? "Sent" : "Received", "bit/s", true),
    roundTrip: new Plot(parent, "Round trip", "ms"),
    jitter: new Plot(parent, "Jitter", "ms"),
    loss: new Plot(parent, "Loss", "%"),
  };
}

export function addTo(plots, figures) {
  plots.rate.add(plots.isSender ? figures.rateOut : figures.rateIn);
  plots.roundTrip.add(figures.roundTrip);
  plots.jitter.add(plots.isSender ? figures.farJitter : figures.jitter);
  plots.loss.add(plots.isSender ? figures.farLoss : figures.loss);
}
