// Runs a job in WebAssembly: node guest.mjs FOLDER ORT, where ORT is the folder of onnxruntime-web. See guest.py.
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, web] = process.argv.slice(2).map((path) => resolve(path));
const ort = await import(pathToFileURL(join(web, "ort.wasm.bundle.min.mjs")));
ort.env.wasm.wasmPaths = pathToFileURL(web + "/").href;
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal";

const arrays = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
  uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array,
  bool: Uint8Array,
};
const levels = { disable_all: "disabled", enable_basic: "basic", enable_extended: "extended", enable_all: "all" };

function tensor(array) {
  const bytes = readFileSync(join(folder, array.file));
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return new ort.Tensor(array.dtype, new arrays[array.dtype](copy), array.shape);
}

// "session.x64quantprecision": "1" as the nested object that the API wants.
function nested(entries) {
  const found = {};
  for (const [key, value] of Object.entries(entries)) {
    const words = key.split(".");
    const last = words.pop();
    let place = found;
    for (const word of words) place = place[word] ??= {};
    place[last] = value;
  }
  return found;
}

async function run(task, number) {
  const session = await ort.InferenceSession.create(readFileSync(task.model), {
    executionProviders: ["wasm"], graphOptimizationLevel: levels[task.level], logSeverityLevel: 4,
    extra: nested(task.config),
  });
  const names = task.outputs ?? session.outputNames;
  const images = [];
  for (const [index, feeds] of task.feeds.entries()) {
    const given = Object.fromEntries(Object.entries(feeds).map(([name, array]) => [name, tensor(array)]));
    const found = await session.run(given, names);
    const told = {};
    names.forEach((name, place) => {
      const { type, data, dims } = found[name];
      const file = `made.${number}.${index}.${place}.bin`;
      writeFileSync(join(folder, file), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      told[name] = { file, dtype: type, shape: dims };
      found[name].dispose();
    });
    images.push(told);
  }
  await session.release();
  return { images };
}

const { tasks } = JSON.parse(readFileSync(join(folder, "job.json")));
const made = [];
for (const [number, task] of tasks.entries()) {
  made.push(await run(task, number).catch((error) => ({ failed: String(error?.message ?? error) })));
}
writeFileSync(join(folder, "made.json"), JSON.stringify(made));
process.exit(0);
