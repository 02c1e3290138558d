// Puts the app together: a picture, a file that is dropped, or the camera → the model → the mask over the picture.

import { Camera } from './camera.js';
import { listenToCard } from './card.js';
import { enlarged } from './enlarge.js';
import { Engine, lacking } from './engine.js';
import { stored } from './offline.js';
import { View } from './view.js';

const LARGE = 16e6; // pixels, from which on reading a picture takes long enough to say so
const find = (id) => document.getElementById(id);
let view, engine = null, waiting = null, camera = null, facing = 'environment', turns = 0;

async function start() {
  say('Loading …');
  listenToCard();
  listenToDrops();
  const found = await fetch('model/model.json').catch(() => null);
  if (!found?.ok) return say('', 'model/model.json is missing; copy the whole folder of the app.');
  const facts = await found.json();
  view = new View(facts);
  view.hideMask();
  const lacks = lacking();
  if (lacks) return say('', lacks);
  say('Storing the app for use without a network …');
  find('offline').textContent = await stored(() => waiting === null);
  say('Loading the model …');
  try {
    engine = await Engine.start(facts);
  } catch (error) {
    return say('', `The model cannot be loaded: ${error.message}`);
  }
  view.threads(engine.threads);
  say('Ready. Choose a picture, or use the camera.');
  listen();
  if (waiting) await showFile(waiting);
  else if (facts.example) await showAddress(facts.example);
  document.dispatchEvent(new Event('ready'));
}

/** The line on what is going on, and that on what went wrong; none with null. */
function say(status, problem = null) {
  find('problem').textContent = problem ?? '';
  find('problem').hidden = problem === null;
  find('status').textContent = status;
}

function listen() {
  find('choose').addEventListener('click', () => find('file').click());
  find('file').addEventListener('change', () => {
    const [file] = find('file').files;
    if (file) showFile(file);
    find('file').value = '';
  });
  find('camera').addEventListener('click', () => (camera ? stop() : film()));
  find('turn').addEventListener('click', () => {
    facing = facing === 'user' ? 'environment' : 'user';
    film();
  });
  find('save').addEventListener('click', save);
  find('choose').disabled = find('camera').disabled = false;
}

/** Files that are dropped or pasted; before the model is there, the last of them waits for it. */
function listenToDrops() {
  const stage = find('stage');
  const over = (event) => {
    event.preventDefault();
    stage.classList.toggle('over', event.type === 'dragover');
  };
  document.addEventListener('dragover', over);
  document.addEventListener('dragleave', over);
  const given = (files) => {
    const [file] = files ?? [];
    if (file && engine) showFile(file);
    else if (file) waiting = file;
  };
  document.addEventListener('drop', (event) => {
    over(event);
    given(event.dataTransfer?.files);
  });
  document.addEventListener('paste', (event) => given(event.clipboardData?.files));
}

async function showAddress(address) {
  const found = await fetch(address).catch(() => null);
  if (found?.ok) await showFile(await found.blob(), address);
}

async function showFile(file, name = file.name) {
  stop();
  const turn = ++turns;
  say('Reading the picture …');
  let bitmap;
  try {
    // As in Python: upright by its EXIF data, its numbers as they are.
    bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  } catch {
    if (turn !== turns) return undefined;
    view.empty();
    return say('', `${name}: not a picture that this browser can read; choose a PNG, JPEG or WebP file.`);
  }
  if (turn !== turns) return bitmap.close();
  const { width, height } = bitmap;
  view.hideMask();
  view.drawPicture(bitmap, width, height, name);
  const large = width * height > LARGE;
  const size = `${width} × ${height}`;
  say(large ? `${size}: a large picture; it is read in strips, which takes a moment …` : 'Looking for the mask …');
  try {
    const { mask, bitmap: back } = await engine.run(bitmap);
    back.close();
    if (turn !== turns) return undefined;
    view.showMask(mask);
    say(large ? `Done: ${name}, ${size}, read in strips as it is large.` : `Done: ${name}, ${size}.`);
    announce(mask);
  } catch (error) {
    if (turn === turns) say('', `${name}: no mask (${error.message}).`);
  }
  return undefined;
}

async function film() {
  stop();
  const turn = ++turns;
  say('Opening the camera …');
  let opened;
  try {
    opened = await Camera.open(facing);
  } catch (error) {
    return say('', error.message);
  }
  if (turn !== turns) return opened.close();
  camera = opened;
  find('camera').setAttribute('aria-pressed', 'true');
  find('camera').textContent = 'Stop the camera';
  find('turn').hidden = !(await Camera.areSeveral());
  say('The camera is on.');
  const times = [];
  try {
    for (let bitmap = await opened.frame(); bitmap !== null; bitmap = await opened.frame()) {
      const { mask, bitmap: back } = await engine.run(bitmap);
      if (turn !== turns) {
        back.close();
        return undefined;
      }
      view.drawPicture(back, back.width, back.height, 'camera');
      back.close();
      view.showMask(mask);
      times.push(performance.now());
      if (times.length > 30) times.shift();
      if (times.length > 1) view.rate((1000 * (times.length - 1)) / (times.at(-1) - times[0]));
      announce(mask);
    }
    if (turn === turns) stop();
  } catch (error) {
    stop();
    say('', `The camera stopped: ${error.message}`);
  }
  return undefined;
}

function stop() {
  if (!camera) return;
  turns++;
  camera.close();
  camera = null;
  find('camera').setAttribute('aria-pressed', 'false');
  find('camera').textContent = 'Use the camera';
  find('turn').hidden = true;
  say('The camera is off.');
}

/** Saves the coloured mask, as it is shown, in the picture's own size. */
async function save() {
  const { name, width, height } = view.picture;
  const blob = await enlarged(find('mask'), view.picture).catch(() => null);
  if (blob === null) return say('', `The mask cannot be saved in ${width} × ${height} pixels: this browser has no room for it.`);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${name.replace(/\.[^.]*$/, '')}-mask.png`;
  link.click();
  URL.revokeObjectURL(link.href);
  return undefined;
}

/** For whoever builds on this page: each mask is an event. */
function announce(mask) {
  document.dispatchEvent(new CustomEvent('mask', { detail: mask }));
}

start();
