// A mask in the size of its picture: of each pixel the nearest, so that classes never mix.

import { nearestOf } from './resample.js';

const STRIP = 1 << 20; // pixels that are written at a time, so that a large picture takes little memory beside its canvas

/** A canvas in another size, as a PNG; null where the browser has no room for that. size: width and height in pixels. */
export async function enlarged(canvas, { width, height }) {
  const small = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const from = new Uint32Array(small.data.buffer);
  const made = Object.assign(document.createElement('canvas'), { width, height });
  const context = made.getContext('2d');
  if (context === null) return null;
  const [across, down] = [nearestOf(canvas.width, width), nearestOf(canvas.height, height)];
  const rows = Math.max(1, Math.floor(STRIP / width));
  for (let top = 0; top < height; top += rows) {
    const strip = new ImageData(width, Math.min(rows, height - top));
    const to = new Uint32Array(strip.data.buffer);
    for (let y = 0; y < strip.height; y++) {
      const row = down[top + y] * canvas.width;
      for (let x = 0; x < width; x++) to[y * width + x] = from[row + across[x]];
    }
    context.putImageData(strip, 0, top);
  }
  return new Promise((resolve) => { made.toBlob(resolve); });
}
