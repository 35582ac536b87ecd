// Makes elements, and texts of numbers, times and names.

/** An element with text, and attributes. */
export function element(name, text = "", attributes = {}) {
  const node = document.createElement(name);
  node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

const units = ["", "k", "M", "G", "T"];

/** A number with its unit, such as ["1.25", "Mbit/s"]. */
export function scaled(value, unit) {
  let index = 0;
  while (value >= 999.5 && index < units.length - 1) {
    value /= 1000;
    index += 1;
  }
  const digits = value === 0 || value >= 100 || (index === 0 && Number.isInteger(value)) ? 0 : value >= 10 ? 1 : 2;
  return [value.toFixed(digits), units[index] + unit];
}

export const words = (value, unit) => scaled(value, unit).join(" ").trim();
/** A number with its unit and without zeros at the end, for axes. */
export const shortWords = (value, unit) => {
  const [number, whole] = scaled(value, unit);
  return `${Number(number)} ${whole}`.trim();
};
export const bitRate = (bytes) => words(bytes * 8, "bit/s");

export function age(seconds) {
  const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"], [Math.floor(seconds) % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  return first < 0 ? "0s" : parts.slice(first, first + 2).map(([count, unit]) => `${count}${unit}`).join(" ");
}

export const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** The parts of a time-limited name: the user, and the end of the credential. Any other name is returned whole. */
export function splitName(user) {
  const parts = /^([0-9]{9,11}):(.+)$/s.exec(user);
  if (!parts) return [user || "anonymous", ""];
  return [parts[2], new Date(parts[1] * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" })];
}
