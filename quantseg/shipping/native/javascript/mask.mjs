// node native/javascript/mask.mjs IMAGE.ppm MASK.pgm: class ids of a picture of any size, as the page finds them.
// In the folder of the app, once: npm install (it gets the runtime that package.json names).
// A PPM file of a PNG: magick image.png image.ppm. The mask's values are class ids, which a viewer shows as black.

import { readFileSync, writeFileSync } from 'node:fs';
import * as ort from 'onnxruntime-web';
import { Resampler, grey } from '../../resample.js';

const folder = new URL('../../model/', import.meta.url);
const facts = JSON.parse(readFileSync(new URL('model.json', folder), 'utf8'));

/** The pixels of a binary PPM file of 8 bits, as RGBA. */
function readPpm(path) {
  const bytes = readFileSync(path);
  const head = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 64));
  if (head === null) throw new Error(`${path}: no PPM file of 8 bits`);
  const [width, height] = [Number(head[1]), Number(head[2])];
  const rgba = new Uint8Array(width * height * 4);
  for (let i = 0; i < width * height; i++) rgba.set(bytes.subarray(head[0].length + 3 * i, head[0].length + 3 * i + 3), 4 * i);
  return { width, height, rgba };
}

const [image, target] = process.argv.slice(2);
if (process.argv.length !== 4) {
  console.error('usage: node mask.mjs IMAGE.ppm MASK.pgm');
  process.exit(2);
}
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(new URL(facts.file, folder)), { executionProviders: ['wasm'] });

const { name, width, height, channels, resize, columns_first: isNew } = facts.input;
const picture = readPpm(image);
const resampler = new Resampler(picture, { width, height }, resize, isNew);
resampler.add(picture.rgba, 0, picture.height);
const rgb = resampler.finished();
const pixels = channels === 'GRAY' ? grey(rgb) : rgb;
const input = new ort.Tensor('uint8', pixels, [1, height, width, channels === 'GRAY' ? 1 : 3]);
const { data, dims } = (await session.run({ [name]: input }))[facts.output.name];
const [rows, columns] = dims.slice(-2); // (1, height, width)
writeFileSync(target, Buffer.concat([Buffer.from(`P5\n${columns} ${rows}\n255\n`), Buffer.from(data.subarray(0, rows * columns))]));
