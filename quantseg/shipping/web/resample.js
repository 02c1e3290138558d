// Resizing of 8-bit pictures in integers, as Pillow does it, value for value: weights of 22 bits, along rows and along
// columns, each pass rounded to 8 bits. So the model sees here what it sees in Python.
// Source of the rules: Pillow, src/libImaging/Resample.c and Geometry.c; its pull request 9549.

const BITS = 22;
const HALF = 1 << (BITS - 1);

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Name of a filter → [its half width, its weight at a distance]. */
const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => {
    const d = Math.abs(x);
    if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * -0.5 : 0;
  }],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

/** Weights of a pass: of output i, `count[i]` integers from `weights[i * size]` on, for inputs from `first[i]` on. */
function weightsOf(filter, from, to) {
  const [width, weight] = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = width * stretch;
  const size = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const weights = new Int32Array(to * size);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const high = Math.min(from, Math.trunc(centre + support + 0.5));
    const found = [];
    let sum = 0;
    for (let x = low; x < high; x++) {
      const w = weight((x - centre + 0.5) * (1 / stretch));
      found.push(w);
      sum += w;
    }
    first[i] = low;
    count[i] = high - low;
    found.forEach((w, k) => {
      const part = (sum !== 0 ? w / sum : w) * (1 << BITS);
      weights[i * size + k] = Math.trunc(part < 0 ? part - 0.5 : part + 0.5);
    });
  }
  return { first, count, weights, size };
}

/** Which input each output of `nearest` takes; positions are added up, not multiplied, as Pillow does. */
export function nearestOf(from, to) {
  const step = from / to;
  const places = new Int32Array(to);
  let position = step * 0.5;
  for (let i = 0; i < to; i++) {
    places[i] = Math.min(from - 1, Math.trunc(position));
    position += step;
  }
  return places;
}

const clipped = (sum) => {
  const value = sum >> BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
};

/** Along rows: `count` rows of pixels of `step` bytes, each row `width` of them → RGB rows of as many as `weights` gives. */
function alongRows(pixels, step, width, count, { first, count: taken, weights, size }, target, place) {
  for (let y = 0; y < count; y++) {
    const row = y * width * step;
    for (let x = 0; x < first.length; x++) {
      let red = HALF, green = HALF, blue = HALF;
      let pixel = row + first[x] * step;
      const start = x * size;
      const end = start + taken[x];
      for (let k = start; k < end; k++) {
        const weight = weights[k];
        red += pixels[pixel] * weight;
        green += pixels[pixel + 1] * weight;
        blue += pixels[pixel + 2] * weight;
        pixel += step;
      }
      target[place++] = clipped(red);
      target[place++] = clipped(green);
      target[place++] = clipped(blue);
    }
  }
}

/**
 * Resizes a picture that is given in strips of rows from the top, so that a large one needs little memory.
 * from, to: sizes. isNew: whether a picture whose height shrinks much more than its width is resized along columns
 * first, as Pillow does from version 13 on.
 */
export class Resampler {
  constructor(from, to, filter, isNew) {
    this.from = from;
    this.to = to;
    if (filter === 'nearest') {
      this.way = new Nearest(from, to);
    } else {
      const columnsFirst = isNew && to.height < from.height && 2 * (from.width - to.width) < from.height - to.height;
      const across = weightsOf(filter, from.width, to.width);
      const down = weightsOf(filter, from.height, to.height);
      this.way = columnsFirst ? new ColumnsFirst(from, across, down) : new RowsFirst(from, across, down);
    }
  }

  /** Takes `count` rows of RGBA pixels, the first of which is row `top` of the picture. Alpha is dropped. */
  add(rgba, top, count) {
    this.way.add(rgba, top, count);
  }

  /** The resized picture, RGB, once all rows were given. */
  finished() {
    return this.way.finished();
  }
}

class RowsFirst {
  constructor(from, across, down) {
    Object.assign(this, { from, across, down });
    this.line = across.first.length * 3;
    this.rows = new Uint8Array(from.height * this.line);
  }

  add(rgba, top, count) {
    alongRows(rgba, 4, this.from.width, count, this.across, this.rows, top * this.line);
  }

  finished() {
    const { rows, down, line } = this;
    const height = down.first.length;
    const made = new Uint8Array(height * line);
    const sums = new Int32Array(line);
    for (let y = 0; y < height; y++) {
      sums.fill(HALF);
      for (let k = 0; k < down.count[y]; k++) {
        const weight = down.weights[y * down.size + k];
        const row = (down.first[y] + k) * line;
        for (let x = 0; x < line; x++) sums[x] += rows[row + x] * weight;
      }
      for (let x = 0; x < line; x++) made[y * line + x] = clipped(sums[x]);
    }
    return made;
  }
}

class ColumnsFirst {
  constructor(from, across, down) {
    Object.assign(this, { from, across, down });
    this.line = from.width * 3;
    this.sums = new Int32Array(down.first.length * this.line).fill(HALF);
    this.firstOpen = 0; // rows of the result before it need no more rows of the picture
  }

  add(rgba, top, count) {
    const { down, line, sums } = this;
    const height = down.first.length;
    for (let row = top; row < top + count; row++) {
      while (this.firstOpen < height && down.first[this.firstOpen] + down.count[this.firstOpen] <= row) this.firstOpen++;
      for (let y = this.firstOpen; y < height && down.first[y] <= row; y++) {
        const weight = down.weights[y * down.size + row - down.first[y]];
        let pixel = (row - top) * this.from.width * 4;
        for (let place = y * line; place < (y + 1) * line; place += 3) {
          sums[place] += rgba[pixel] * weight;
          sums[place + 1] += rgba[pixel + 1] * weight;
          sums[place + 2] += rgba[pixel + 2] * weight;
          pixel += 4;
        }
      }
    }
  }

  finished() {
    const height = this.down.first.length;
    const rows = Uint8Array.from(this.sums, clipped);
    const made = new Uint8Array(height * this.across.first.length * 3);
    alongRows(rows, 3, this.from.width, height, this.across, made, 0);
    return made;
  }
}

class Nearest {
  constructor(from, to) {
    Object.assign(this, { from, to });
    this.across = nearestOf(from.width, to.width);
    this.down = nearestOf(from.height, to.height);
    this.made = new Uint8Array(to.height * to.width * 3);
  }

  add(rgba, top, count) {
    const { width } = this.to;
    this.down.forEach((row, y) => {
      if (row < top || row >= top + count) return;
      let place = y * width * 3;
      for (let x = 0; x < width; x++) {
        const pixel = ((row - top) * this.from.width + this.across[x]) * 4;
        this.made[place++] = rgba[pixel];
        this.made[place++] = rgba[pixel + 1];
        this.made[place++] = rgba[pixel + 2];
      }
    });
  }

  finished() {
    return this.made;
  }
}

/** One channel of RGB pixels: luma of ITU-R 601 in integers, as Pillow's convert("L"). */
export function grey(rgb) {
  const made = new Uint8Array(rgb.length / 3);
  for (let i = 0; i < made.length; i++) {
    made[i] = (rgb[3 * i] * 19595 + rgb[3 * i + 1] * 38470 + rgb[3 * i + 2] * 7471 + 0x8000) >> 16;
  }
  return made;
}
