// A QR code (ISO/IEC 18004) of a link: byte mode, error correction level L, versions 1 to 9, up to 230 bytes.

const space = "http://www.w3.org/2000/svg";

/** For each version: data codewords of a block, its correction codewords, and the number of blocks, which are equal. */
const versions = [
  [19, 7, 1], [34, 10, 1], [55, 15, 1], [80, 20, 1], [108, 26, 1], [68, 18, 2], [78, 20, 2], [97, 24, 2], [116, 30, 2],
];
/** The middles of the alignment patterns of each version. */
const alignments = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46]];

// ---- Reed-Solomon over GF(256) with x^8 + x^4 + x^3 + x^2 + 1

function multiply(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ ((product >>> 7) * 0x11d);
    product ^= ((b >>> bit) & 1) * a;
  }
  return product;
}

function generator(degree) {
  const result = new Array(degree).fill(0);
  result[degree - 1] = 1;
  let root = 1;
  for (let step = 0; step < degree; step += 1) {
    for (let index = 0; index < degree; index += 1) {
      result[index] = multiply(result[index], root);
      if (index + 1 < degree) result[index] ^= result[index + 1];
    }
    root = multiply(root, 2);
  }
  return result;
}

function correction(data, divisor) {
  const result = divisor.map(() => 0);
  for (const byte of data) {
    const factor = byte ^ result.shift();
    result.push(0);
    divisor.forEach((value, index) => { result[index] ^= multiply(value, factor); });
  }
  return result;
}

// ---- Bits

function codewords(bytes, version) {
  const [length, corrections, blocks] = versions[version - 1];
  const bits = [];
  const put = (value, count) => {
    for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >>> bit) & 1);
  };
  put(4, 4);
  put(bytes.length, 8);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, length * blocks * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const data = [];
  for (let index = 0; index < bits.length; index += 8) data.push(parseInt(bits.slice(index, index + 8).join(""), 2));
  for (let pad = 0xec; data.length < length * blocks; pad ^= 0xec ^ 0x11) data.push(pad);
  const divisor = generator(corrections);
  const parts = Array.from({ length: blocks }, (_, index) => data.slice(index * length, (index + 1) * length));
  const extra = parts.map((part) => correction(part, divisor));
  const result = [];
  for (let index = 0; index < length; index += 1) for (const part of parts) result.push(part[index]);
  for (let index = 0; index < corrections; index += 1) for (const part of extra) result.push(part[index]);
  return result;
}

// ---- Modules

class Matrix {
  constructor(version) {
    this.version = version;
    this.size = version * 4 + 17;
    this.dark = Array.from({ length: this.size }, () => new Array(this.size).fill(false));
    this.fixed = Array.from({ length: this.size }, () => new Array(this.size).fill(false));
    this.patterns();
  }

  set(x, y, dark) {
    this.dark[y][x] = !!dark;
    this.fixed[y][x] = true;
  }

  patterns() {
    const { size } = this;
    for (let index = 0; index < size; index += 1) {
      this.set(6, index, index % 2 === 0);
      this.set(index, 6, index % 2 === 0);
    }
    for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) this.finder(x, y);
    const middles = alignments[this.version - 1];
    const last = middles.length - 1;
    middles.forEach((x, column) => middles.forEach((y, row) => {
      const isFinder = (column === 0 && row === 0) || (column === 0 && row === last) || (column === last && row === 0);
      if (!isFinder) this.alignment(x, y);
    }));
    this.format(0);
    if (this.version >= 7) this.versionBits();
  }

  finder(x, y) {
    for (let dy = -4; dy <= 4; dy += 1) {
      for (let dx = -4; dx <= 4; dx += 1) {
        const distance = Math.max(Math.abs(dx), Math.abs(dy));
        const [px, py] = [x + dx, y + dy];
        if (px >= 0 && px < this.size && py >= 0 && py < this.size) this.set(px, py, distance !== 2 && distance !== 4);
      }
    }
  }

  alignment(x, y) {
    for (let dy = -2; dy <= 2; dy += 1) {
      for (let dx = -2; dx <= 2; dx += 1) this.set(x + dx, y + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
    }
  }

  /** Level L and the mask, with their BCH code. */
  format(mask) {
    const data = (1 << 3) | mask;
    let rest = data;
    for (let step = 0; step < 10; step += 1) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
    const bits = ((data << 10) | rest) ^ 0x5412;
    const bit = (index) => (bits >>> index) & 1;
    for (let index = 0; index <= 5; index += 1) this.set(8, index, bit(index));
    this.set(8, 7, bit(6));
    this.set(8, 8, bit(7));
    this.set(7, 8, bit(8));
    for (let index = 9; index < 15; index += 1) this.set(14 - index, 8, bit(index));
    for (let index = 0; index < 8; index += 1) this.set(this.size - 1 - index, 8, bit(index));
    for (let index = 8; index < 15; index += 1) this.set(8, this.size - 15 + index, bit(index));
    this.set(8, this.size - 8, true);
  }

  versionBits() {
    let rest = this.version;
    for (let step = 0; step < 12; step += 1) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
    const bits = (this.version << 12) | rest;
    for (let index = 0; index < 18; index += 1) {
      const a = this.size - 11 + (index % 3);
      const b = Math.floor(index / 3);
      this.set(a, b, (bits >>> index) & 1);
      this.set(b, a, (bits >>> index) & 1);
    }
  }

  /** Writes the codewords in the zigzag order, with mask 0, which inverts every second module. */
  fill(words) {
    let index = 0;
    for (let right = this.size - 1; right >= 1; right -= 2) {
      if (right === 6) right = 5;
      for (let step = 0; step < this.size; step += 1) {
        const isUpward = ((right + 1) & 2) === 0;
        const y = isUpward ? this.size - 1 - step : step;
        for (const x of [right, right - 1]) {
          if (this.fixed[y][x]) continue;
          const bit = index < words.length * 8 ? (words[index >>> 3] >>> (7 - (index & 7))) & 1 : 0;
          this.dark[y][x] = !!(bit ^ ((x + y) % 2 === 0 ? 1 : 0));
          index += 1;
        }
      }
    }
  }
}

/** The rows of modules of a text; null if it is too long. */
export function code(text) {
  const bytes = new TextEncoder().encode(text);
  const version = versions.findIndex(([length, , blocks]) => bytes.length + 2 <= length * blocks) + 1;
  if (!version) return null;
  const matrix = new Matrix(version);
  matrix.fill(codewords(bytes, version));
  return matrix.dark;
}

/** Draws the code into an SVG element, dark on white also in dark mode, because some readers need that. */
export function drawCode(svg, text) {
  const rows = code(text);
  svg.replaceChildren();
  if (!rows) return;
  const size = rows.length + 8;
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : "")))
    .join(""));
  svg.append(path);
}
