// Runs the model beside the page, so that the page never stands still: a picture in, class ids out.

import { Resampler, grey } from './resample.js';

const STRIP = 1 << 20; // pixels that are read from a picture at a time: phones refuse canvases of many megapixels
let ort, session, model, canvas;

onmessage = async ({ data }) => {
  try {
    if (data.load) postMessage({ ready: await load(data.load) });
    if (data.bitmap) await answer(data);
  } catch (error) {
    postMessage({ id: data.id, failed: String(error?.message ?? error) });
  }
};

async function load({ facts, threads }) {
  model = facts;
  const file = new URL(`model/${facts.file}`, import.meta.url);
  const found = await fetch(file);
  if (!found.ok) throw new Error(`model/${facts.file} is missing; copy the whole folder of the app`);
  const bytes = new Uint8Array(await found.arrayBuffer());
  ort = await import('./vendor/ort.wasm.min.mjs').catch(() => {
    throw new Error('vendor/ort.wasm.min.mjs is missing; copy the whole folder of the app');
  });
  ort.env.wasm.wasmPaths = new URL('vendor/', import.meta.url).href;
  ort.env.wasm.numThreads = threads;
  session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  canvas = new OffscreenCanvas(1, 1);
  const { width, height, channels } = facts.input;
  await infer(new Uint8Array(width * height * (channels === 'GRAY' ? 1 : 3))); // the first run allocates
  return ort.env.wasm.numThreads;
}

async function answer({ id, bitmap }) {
  const start = performance.now();
  const pixels = resized(bitmap);
  const resizedAt = performance.now();
  const output = await infer(pixels);
  const ranAt = performance.now();
  const { ids, shares } = read(output);
  const ms = { resize: resizedAt - start, model: ranAt - resizedAt, all: performance.now() - start };
  postMessage({ id, mask: { ids, shares, ms, width: output.width, height: output.height }, bitmap }, [bitmap, ids.buffer]);
}

/** The picture in the model's size, read strip by strip. */
function resized(bitmap) {
  const { width, height, channels, resize, columns_first: isNew } = model.input;
  const resampler = new Resampler(bitmap, { width, height }, resize, isNew);
  const rows = Math.max(1, Math.min(bitmap.height, Math.floor(STRIP / bitmap.width)));
  if (canvas.width !== bitmap.width || canvas.height !== rows) {
    canvas.width = bitmap.width;
    canvas.height = rows;
  }
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.globalCompositeOperation = 'copy';
  for (let top = 0; top < bitmap.height; top += rows) {
    const count = Math.min(rows, bitmap.height - top);
    context.drawImage(bitmap, 0, top, bitmap.width, count, 0, 0, bitmap.width, count);
    resampler.add(context.getImageData(0, 0, bitmap.width, count).data, top, count);
  }
  const rgb = resampler.finished();
  return channels === 'GRAY' ? grey(rgb) : rgb;
}

async function infer(pixels) {
  const { name, width, height, channels } = model.input;
  const tensor = new ort.Tensor('uint8', pixels, [1, height, width, channels === 'GRAY' ? 1 : 3]);
  const { data, dims } = (await session.run({ [name]: tensor }))[model.output.name];
  const [rows, columns] = model.output.layout === 'NCHW' ? dims.slice(2) : dims.slice(1, 3);
  return { data, width: columns, height: rows };
}

/** Class ids of the pixels; of classes that overlap, a plane of zeros and ones for each. Shares: 0…1, of each class. */
function read({ data, width, height }) {
  const count = model.classes.length;
  const pixels = width * height;
  const shares = new Array(count).fill(0);
  let ids = data.slice();
  if (!model.output.overlapping) {
    const counts = new Uint32Array(256);
    for (let i = 0; i < pixels; i++) counts[ids[i]]++;
    return { ids, shares: shares.map((_, id) => counts[id] / pixels) };
  }
  if (model.output.layout === 'NHWC') ids = ids.map((_, i) => data[(i % pixels) * count + Math.floor(i / pixels)]);
  for (let i = 0; i < ids.length; i++) shares[Math.floor(i / pixels)] += ids[i] / pixels;
  return { ids, shares };
}
