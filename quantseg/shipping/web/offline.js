// Use without a network: a service worker stores the app. It also sends the headers that allow several threads, so the
// page reloads once after the first visit.

const RELOADED = 'reloaded for threads';

/**
 * Waits until the app is stored; gives what is to be said of it. Reloads the page once where that allows threads, unless
 * mayReload says at that moment that something would be lost.
 */
export async function stored(mayReload) {
  if (!('serviceWorker' in navigator)) {
    return 'Not stored for use without a network: that needs https or localhost.';
  }
  const registering = navigator.serviceWorker.register('sw.js', { updateViaCache: 'none' });
  if (navigator.serviceWorker.controller && globalThis.crossOriginIsolated) {
    registering.catch(() => {}); // looks for a newer version, which nobody answers without a network
    return 'Works without a network.';
  }
  try {
    await activated(await registering);
  } catch (error) {
    return `Not stored for use without a network (${error.message}).`;
  }
  if (!globalThis.crossOriginIsolated && mayReload() && first()) {
    location.reload();
    await new Promise(() => {}); // nothing else is begun on a page that goes away
  }
  return 'Works without a network.';
}

function activated(registration) {
  if (registration.active) return null;
  const worker = registration.installing ?? registration.waiting;
  return new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === 'activated') resolve();
      if (worker.state === 'redundant') reject(new Error('a file of the app is missing, or there is no space'));
    };
    worker.addEventListener('statechange', look);
    look();
  });
}

/** Whether the page has not been reloaded yet in this tab. */
function first() {
  try {
    const again = sessionStorage.getItem(RELOADED);
    sessionStorage.setItem(RELOADED, 'yes');
    return again === null;
  } catch {
    return false; // without storage it might reload for ever
  }
}
