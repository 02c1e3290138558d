// quantseg app: stores its files for use without a network. The server is asked first; what is stored answers where it
// does not, or is slow. Every answer gets the headers that let a page use several threads, and the policy that forbids it
// to load anything from elsewhere. Where the server has no such app any more, this worker goes away and leaves no trace.

const VERSION = '@VERSION@'; // of the files' contents: another one is stored anew
const FILES = @FILES@;
const PREFIX = `app ${self.registration.scope} `;
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Content-Security-Policy': "@POLICY@",
};
const PATIENCE = 2000; // milliseconds that the server has for an answer
const WITHOUT = 10000; // milliseconds without asking it for files after it gave none, so that a page does not wait for each
let askedAgainAt = 0;
let isOver = false;

/** An answer with the app's headers. A redirection of a page can be handed on only as it is. */
function withHeaders(answer, url = '') {
  if (answer.type === 'opaqueredirect') return answer;
  const headers = new Headers(answer.headers);
  Object.entries(HEADERS).forEach(([name, value]) => headers.set(name, value));
  if (url.endsWith('.md')) headers.set('Content-Type', 'text/plain; charset=utf-8');
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}

async function store() {
  const cache = await caches.open(PREFIX + VERSION);
  await Promise.all(FILES.map(async (file) => {
    const answer = await fetch(new Request(file, { cache: 'reload' }));
    if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
    await cache.put(file, withHeaders(answer, file));
  }));
  await self.skipWaiting();
}

async function forget(kept = null) {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== kept).map((name) => caches.delete(name)));
}

async function takeOver() {
  await forget(PREFIX + VERSION);
  await self.clients.claim();
}

/** Whether the server still has this app, or a newer one: its sw.js says so. What gives no clear answer counts as yes. */
async function isOurs() {
  const found = await fetch('sw.js', { cache: 'no-store', redirect: 'manual' });
  if (found.ok) return (await found.text()).startsWith('// quantseg app');
  return found.status !== 404 && found.status !== 410;
}

/** What a promise gives, if it does so soon enough. */
async function soon(promise) {
  const late = new Promise((_, reject) => { setTimeout(reject, PATIENCE, new Error('late')); });
  return Promise.race([promise, late]);
}

/** The server's answer; its own failure (5xx) is none. */
async function online(request) {
  const answer = await fetch(request, { cache: 'no-cache' }); // asks the server whether the browser's copy is still right
  if (answer.status >= 500) throw new Error(String(answer.status));
  return answer;
}

/** The server's page. Where this app is gone, so are this worker and what it stored. */
async function page(request) {
  const [answer, ours] = await Promise.all([online(request), isOurs()]);
  if (!ours) {
    isOver = true;
    await forget();
    await self.registration.unregister();
  }
  return answer;
}

/** Shows what the server has now, in pages that got what was stored since the server was slow. */
async function reload() {
  const pages = await self.clients.matchAll({ type: 'window' });
  await Promise.all(pages.map((one) => one.navigate(one.url)));
}

async function answer(event) {
  const { request } = event;
  const isPage = request.mode === 'navigate';
  const kept = await caches.match(request, { cacheName: PREFIX + VERSION, ignoreSearch: true });
  if (kept && !isPage && Date.now() < askedAgainAt) return kept;
  const asked = isPage ? page(request) : online(request);
  try {
    const found = await (kept ? soon(asked) : asked);
    if (isPage) askedAgainAt = 0;
    return isOver ? found : withHeaders(found, request.url);
  } catch (error) {
    if (!kept) throw error;
    event.waitUntil(asked.then(() => (isOver ? reload() : null)).catch(() => {}));
    askedAgainAt = Date.now() + WITHOUT;
    return kept;
  }
}

self.addEventListener('install', (event) => event.waitUntil(store()));
self.addEventListener('activate', (event) => event.waitUntil(takeOver()));
self.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  if (!isOver && method === 'GET' && new URL(url).origin === self.location.origin) event.respondWith(answer(event));
});
