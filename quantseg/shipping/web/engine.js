// The page's side of the worker: starts it, and asks it for one mask at a time.

// A module of WebAssembly that uses SIMD: a browser that cannot run the model's kernels finds it invalid.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
const MOST_THREADS = 4;

/** What this browser lacks, in words; null if it can run the model. */
export function lacking() {
  if (typeof WebAssembly !== 'object' || !WebAssembly.validate(new Uint8Array(SIMD))) {
    return 'This browser has no WebAssembly SIMD, which the model needs; use a newer one (Chrome 91, Firefox 89, Safari 16.4).';
  }
  if (typeof OffscreenCanvas !== 'function' || typeof createImageBitmap !== 'function') {
    return 'This browser cannot read pictures beside the page; use a newer one (Chrome 91, Firefox 105, Safari 16.4).';
  }
  return null;
}

/** As many as the device has cores, where the page may use several; `?threads=1` asks for fewer. */
export function threads() {
  if (!globalThis.crossOriginIsolated) return 1;
  const asked = Number(new URLSearchParams(location.search).get('threads')) || MOST_THREADS;
  return Math.max(1, Math.min(asked, MOST_THREADS, navigator.hardwareConcurrency || 1));
}

export class Engine {
  /** Starts the worker with the model. facts: model/model.json. Rejects with a reason in words. */
  static start(facts) {
    const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
    return new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message || 'worker.js cannot be loaded; copy the whole folder'));
      worker.onmessage = ({ data }) => {
        if (data.failed !== undefined) reject(new Error(data.failed));
        else resolve(new Engine(worker, data.ready));
      };
      worker.postMessage({ load: { facts, threads: threads() } });
    });
  }

  constructor(worker, threadsInUse) {
    this.worker = worker;
    this.threads = threadsInUse;
    this.waiting = new Map();
    this.count = 0;
    worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (data.failed !== undefined) reject(new Error(data.failed));
      else resolve(data);
    };
    worker.onerror = (event) => {
      this.waiting.forEach(({ reject }) => reject(new Error(event.message || 'the worker failed')));
      this.waiting.clear();
    };
  }

  /** The mask of a picture, an ImageBitmap, which is given back with it. */
  run(bitmap) {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, bitmap }, [bitmap]);
    });
  }
}
