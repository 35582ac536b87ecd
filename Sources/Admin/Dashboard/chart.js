// Charts of the last hour, as SVG.

import { clock, element } from "./words.js";

const svgSpace = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const node = document.createElementNS(svgSpace, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** The least of 1, 2 and 5 times a power of ten that is not below the value. */
function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= value * 0.9999);
}

export class Chart {
  constructor(id, series, say, least) {
    this.figure = document.getElementById(id);
    this.series = series;
    this.say = say;
    this.least = least;
    this.svg = shape("svg", { role: "img", "aria-label": this.figure.textContent.trim() });
    this.tip = element("div", "", { class: "tip" });
    this.tip.hidden = true;
    this.figure.append(this.svg, this.tip);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.leave());
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  show(columns, interval, end) {
    Object.assign(this, { columns, interval, end });
    this.draw();
  }

  draw() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!this.columns || !width) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.box = { left: 58, right: width - 6, top: 8, bottom: height - 20 };
    const top = niceTop(Math.max(this.least, ...this.columns.flat()));
    this.y = (value) => this.box.bottom - (value / top) * (this.box.bottom - this.box.top);
    // The newest sample is at the right. The axis shows the time of the samples: ten minutes at least, an hour at most.
    const count = this.columns[0].length;
    const slots = Math.min(3600 / this.interval, Math.max(600 / this.interval, count));
    this.span = slots * this.interval;
    this.x = (index) => this.box.right - ((count - 1 - index) / (slots - 1)) * (this.box.right - this.box.left);
    const parts = this.axes(top);
    this.columns.forEach((column, number) => parts.push(...this.plot(column, this.series[number].key)));
    this.cursor = shape("line", { class: "cursor", y1: this.box.top, y2: this.box.bottom, visibility: "hidden" });
    this.svg.replaceChildren(...parts, this.cursor);
  }

  axes(top) {
    const { left, right, bottom } = this.box;
    const parts = [];
    for (const part of [0, 0.5, 1]) {
      const y = this.y(top * part);
      parts.push(shape("line", { class: part === 0 ? "axis" : "grid", x1: left, x2: right, y1: y, y2: y }));
      parts.push(shape("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, this.say(top * part, true)));
    }
    for (const [part, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      const date = new Date(this.end - (1 - part) * this.span * 1000);
      parts.push(shape("text", { x: left + part * (right - left), y: bottom + 15, "text-anchor": anchor }, clock(date)));
    }
    return parts;
  }

  plot(column, key) {
    if (!column.length) return [];
    const points = column.map((value, index) => `${this.x(index).toFixed(1)},${this.y(value).toFixed(1)}`);
    const base = this.box.bottom;
    const area = `M${this.x(0)},${base} L${points.join(" ")} L${this.x(column.length - 1)},${base} Z`;
    return [shape("path", { class: `area ${key}`, d: area }),
      shape("path", { class: `line ${key}`, d: `M${points.join(" L")}` })];
  }

  point(event) {
    const count = this.columns?.[0].length ?? 0;
    if (!count) return;
    const bounds = this.svg.getBoundingClientRect();
    const step = count > 1 ? this.x(1) - this.x(0) : 1;
    const index = Math.min(count - 1, Math.max(0, Math.round((event.clientX - bounds.left - this.x(0)) / step)));
    const x = this.x(index);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.cursor.setAttribute("visibility", "visible");
    const date = new Date(this.end - (count - 1 - index) * this.interval * 1000);
    this.tip.replaceChildren(element("b", date.toLocaleTimeString()), ...this.series.flatMap((series, number) => {
      const row = element("div");
      row.append(element("i", "", { class: `key ${series.key}` }),
        `${series.name} ${this.say(this.columns[number][index])}`);
      return row;
    }));
    this.tip.hidden = false;
    const offset = this.svg.offsetLeft + x;
    const isRight = x > bounds.width / 2;
    this.tip.style.left = isRight ? "auto" : `${offset + 10}px`;
    this.tip.style.right = isRight ? `${this.figure.clientWidth - offset + 10}px` : "auto";
    this.tip.style.top = `${this.svg.offsetTop + 12}px`;
  }

  leave() {
    this.tip.hidden = true;
    this.cursor?.setAttribute("visibility", "hidden");
  }
}
