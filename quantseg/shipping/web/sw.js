// Stores the app, and answers from what is stored, with or without a network. Every answer gets the headers that let a
// page use several threads, and the policy that forbids it to load anything from elsewhere.

const VERSION = '@VERSION@'; // of the files' contents: another one is stored anew
const FILES = @FILES@;
const PREFIX = `app ${self.registration.scope} `;
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Content-Security-Policy': "@POLICY@",
};

function withHeaders(answer) {
  const headers = new Headers(answer.headers);
  Object.entries(HEADERS).forEach(([name, value]) => headers.set(name, value));
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}

async function store() {
  const cache = await caches.open(PREFIX + VERSION);
  await Promise.all(FILES.map(async (file) => {
    const answer = await fetch(new Request(file, { cache: 'reload' }));
    if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
    await cache.put(file, withHeaders(answer));
  }));
  await self.skipWaiting();
}

async function takeOver() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== PREFIX + VERSION).map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function answer(request) {
  const cache = await caches.open(PREFIX + VERSION);
  return (await cache.match(request, { ignoreSearch: true })) ?? withHeaders(await fetch(request));
}

self.addEventListener('install', (event) => event.waitUntil(store()));
self.addEventListener('activate', (event) => event.waitUntil(takeOver()));
self.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  if (method === 'GET' && new URL(url).origin === self.location.origin) event.respondWith(answer(event.request));
});
