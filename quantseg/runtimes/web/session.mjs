// Runs ONNX models in onnxruntime-web for the Python process that started this one: node session.mjs DIST THREADS
//
// Messages go over stdin and stdout, in turns: 4 bytes with the length of the header (uint32, little endian), the
// header (JSON), then as many bytes as header.sizes tells of each attachment. See node.py for the other side.
import fs from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

const OUT = 1, PATIENCE_MS = 500;
const [, , dist, threads] = process.argv;
const { writeSync } = fs;
const said = [];

// Nothing but messages may go to stdout, to which WebAssembly prints a profile.
Object.defineProperty(process, 'stdout', { value: process.stderr });
fs.writeSync = (file, text, ...more) => (file === OUT ? said.push(String(text)) : writeSync(file, text, ...more));
process.on('SIGINT', () => {});  // Ctrl-C is for the parent, which then ends this process

// Ends with the parent, even if that was killed and this thread is busy in a run that never ends.
const watch = `
  const parent = ${process.ppid};
  setInterval(() => {
    try { process.kill(parent, 0); if (process.ppid === parent) return; } catch {}
    process.kill(process.pid, 'SIGKILL');
  }, ${PATIENCE_MS});`;
new Worker(watch, { eval: true }).unref();

const ort = await import(pathToFileURL(join(dist, 'ort.node.min.mjs')));
ort.env.logLevel = 'fatal';
ort.env.wasm.numThreads = Number(threads);

const ARRAYS = {
  bool: Uint8Array, float16: Uint16Array, float32: Float32Array, float64: Float64Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
};
const sessions = new Map();
let opened = 0;

function tensor({ type, shape }, bytes) {
  const Elements = ARRAYS[type];
  const aligned = new Uint8Array(bytes);  // a copy that begins where any element type may
  return new ort.Tensor(type, new Elements(aligned.buffer, 0, bytes.length / Elements.BYTES_PER_ELEMENT), shape);
}

function feedsOf({ feeds }, attached) {
  return Object.fromEntries(feeds.map((one, index) => [one.name, tensor(one, attached[index])]));
}

async function repeatedly(session, feeds, { warmUp, warmSeconds, runs }) {
  const start = performance.now();
  for (let done = 0; done < warmUp || performance.now() - start < 1e3 * warmSeconds; done++) await session.run(feeds);
  const seconds = [];
  for (let done = 0; done < runs; done++) {
    const begun = performance.now();
    await session.run(feeds);
    seconds.push((performance.now() - begun) / 1e3);
  }
  return seconds;
}

const ANSWERS = {
  async open({ profiling }, [model]) {
    const options = { executionProviders: ['wasm'], logSeverityLevel: 4, enableProfiling: profiling };
    const session = await ort.InferenceSession.create(model, options);
    sessions.set(++opened, session);
    const described = (all) => all.map(({ name, type, shape }) => ({ name, type: type ?? null, shape: shape ?? [] }));
    return { session: opened, inputs: described(session.inputMetadata), outputs: described(session.outputMetadata) };
  },
  async run(asked, attached) {
    const found = await sessions.get(asked.session).run(feedsOf(asked, attached), asked.outputs);
    const tensors = asked.outputs.map((name) => found[name]);
    const bytes = tensors.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    return [{ outputs: tensors.map(({ type, dims }) => ({ type, shape: dims })) }, bytes];
  },
  async times(asked, attached) {
    return { seconds: await repeatedly(sessions.get(asked.session), feedsOf(asked, attached), asked) };
  },
  async profile(asked, attached) {
    const session = sessions.get(asked.session);
    await repeatedly(session, feedsOf(asked, attached), asked);
    said.length = 0;
    session.endProfiling();
    return [{}, [Buffer.from(said.splice(0).join(''))]];
  },
  async close({ session }) {
    await sessions.get(session)?.release();
    sessions.delete(session);
    return {};
  },
};

function write(buffer) {
  for (let done = 0; done < buffer.length;) {
    try {
      done += writeSync(OUT, buffer, done);
    } catch (error) {
      if (error.code !== 'EAGAIN') process.exit(1);  // the parent is gone
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function reply(header, attached = []) {
  const text = Buffer.from(JSON.stringify({ ...header, sizes: attached.map((one) => one.length) }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  for (const part of [length, text, ...attached]) write(part);
}

async function answer(asked, attached) {
  said.length = 0;
  try {
    const given = await ANSWERS[asked.what](asked, attached);
    reply(...(Array.isArray(given) ? given : [given]));
  } catch (error) {
    // After a trap or an abort the memory of the module is not to be trusted any more.
    const fatal = error instanceof WebAssembly.RuntimeError || error instanceof RangeError || /abort/i.test(`${error}`);
    reply({ error: error?.message ?? String(error), fatal });
  }
}

let held = Buffer.alloc(0), chunks = [], waiting = 0, needed = 4;

function take(count) {
  const taken = held.subarray(0, count);
  held = held.subarray(count);
  return taken;
}

let state = 'length', asked;
reply({ ready: process.version });
for await (const chunk of process.stdin) {
  chunks.push(chunk);
  waiting += chunk.length;
  while (held.length + waiting >= needed) {
    held = Buffer.concat([held, ...chunks]);
    [chunks, waiting] = [[], 0];
    if (state === 'length') {
      [needed, state] = [take(4).readUInt32LE(), 'header'];
    } else if (state === 'header') {
      asked = JSON.parse(take(needed).toString());
      [needed, state] = [asked.sizes.reduce((sum, size) => sum + size, 0), 'attached'];
    } else {
      const attached = asked.sizes.map(take);
      [needed, state] = [4, 'length'];
      await answer(asked, attached);
    }
  }
}
process.exit(0);  // stdin is closed: the parent has ended
