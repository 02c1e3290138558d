// What is seen: the picture, the mask over it in the colours of the classes, the list of classes, the figures.

const LONGEST = 1280; // pixels of the longer side of what is drawn
const find = (id) => document.getElementById(id);
const percent = (share) => (share > 0 && share < 0.0005 ? '<0.1 %' : `${(100 * share).toFixed(1)} %`);

const MOST_NAMES = 6;
const isBackground = ({ name }) => name.toLowerCase() === 'background';

/** What the model finds, as a sentence; nothing where there is nothing but a background. */
function finds(classes) {
  const names = classes.filter((one) => !isBackground(one)).map(({ name }) => name);
  if (names.length === 0) return '';
  const more = names.length - MOST_NAMES;
  return `Finds ${names.slice(0, MOST_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}. `;
}

export class View {
  /** facts: model/model.json, whose names of classes are a stranger's text: they are shown as text, never as HTML. */
  constructor(facts) {
    this.facts = facts;
    this.mask = null;
    this.picture = null; // name and size of what is shown
    this.shown = facts.classes.map((one) => !isBackground(one));
    find('name').textContent = facts.name;
    document.title = facts.name;
    find('for').textContent = facts.about;
    find('about').textContent = `${finds(facts.classes)}Pictures may have any size, and do not leave this device.`;
    const { width, height } = facts.input;
    find('size').textContent =
      `The model takes ${(facts.bytes / 1e6).toFixed(1)} MB, and looks at each picture in ${width} × ${height} pixels.`;
    this.rows = facts.classes.map((one, id) => this.row(one, id));
    find('classes').replaceChildren(...this.rows.map(({ item }) => item));
    this.slide('opacity', (value) => { find('mask').style.opacity = String(value / 100); });
    this.slide('split', (value) => {
      find('mask').style.clipPath = `inset(0 ${100 - value}% 0 0)`;
      find('edge').style.left = `calc(${value}% - 1px)`;
      find('edge').hidden = value === 100 || value === 0 || this.mask === null;
    });
  }

  slide(name, apply) {
    const slider = find(name);
    const moved = () => {
      find(`${name}-shown`).textContent = `${slider.value} %`;
      apply(Number(slider.value));
    };
    slider.addEventListener('input', moved);
    moved();
  }

  row({ name, colour }, id) {
    const item = document.createElement('li');
    const label = document.createElement('label');
    const box = document.createElement('input');
    box.type = 'checkbox';
    box.checked = this.shown[id];
    box.addEventListener('change', () => {
      this.shown[id] = box.checked;
      this.drawMask();
    });
    const swatch = document.createElement('canvas'); // a style attribute is what the page's policy forbids
    swatch.width = swatch.height = 1;
    swatch.setAttribute('aria-hidden', 'true');
    const context = swatch.getContext('2d');
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const text = document.createElement('span');
    text.className = 'name';
    text.textContent = name;
    const share = document.createElement('span');
    share.className = 'share';
    share.textContent = '–';
    label.append(box, swatch, text, share);
    item.append(label);
    return { item, share };
  }

  /** Draws a picture or a frame of the camera. name: of its file. */
  drawPicture(source, width, height, name) {
    this.picture = { name, width, height };
    const factor = Math.min(1, LONGEST / Math.max(width, height));
    const canvas = find('picture');
    const [w, h] = [width, height].map((side) => Math.max(1, Math.round(side * factor)));
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
      find('stage').style.setProperty('--ratio', String(width / height));
    }
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.globalCompositeOperation = 'copy'; // nothing of the last picture shows through a transparent one
    context.drawImage(source, 0, 0, w, h);
    canvas.setAttribute('aria-label', `The picture: ${name}`);
    find('hint').hidden = true;
  }

  hideMask() {
    this.mask = null;
    find('mask').hidden = true;
    find('edge').hidden = true;
    find('save').disabled = true;
    this.rows.forEach(({ item, share }) => {
      share.textContent = '–';
      item.classList.remove('absent');
    });
    ['model-ms', 'frame-ms', 'rate'].forEach((id) => { find(id).textContent = '–'; });
  }

  /** Shows nothing: there is no picture. */
  empty() {
    this.hideMask();
    const canvas = find('picture');
    canvas.width = canvas.width; // clears it
    canvas.setAttribute('aria-label', 'No picture');
    find('hint').hidden = false;
  }

  showMask(mask) {
    this.mask = mask;
    this.drawMask();
    find('mask').hidden = false;
    find('save').disabled = false;
    find('split').dispatchEvent(new Event('input'));
    mask.shares.forEach((share, id) => {
      const { item, share: cell } = this.rows[id];
      cell.textContent = percent(share);
      item.classList.toggle('absent', share === 0);
    });
    find('model-ms').textContent = `${mask.ms.model.toFixed(1)} ms`;
    find('frame-ms').textContent = `${mask.ms.all.toFixed(1)} ms`;
  }

  /** Colours the classes that are ticked; the others stay transparent. */
  drawMask() {
    if (this.mask === null) return;
    const canvas = find('mask');
    const { ids, width, height } = this.mask;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const colours = new Uint32Array(256);
    const bytes = new Uint8Array(colours.buffer);
    this.facts.classes.forEach(({ colour }, id) => {
      if (!this.shown[id]) return;
      const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
      bytes.set([...parts, 255], 4 * id);
    });
    if (this.facts.output.overlapping) {
      const size = width * height;
      this.facts.classes.forEach((_, id) => {
        if (!this.shown[id]) return;
        for (let i = 0; i < size; i++) if (ids[id * size + i]) pixels[i] = colours[id];
      });
    } else {
      for (let i = 0; i < pixels.length; i++) pixels[i] = colours[ids[i]];
    }
    canvas.getContext('2d').putImageData(image, 0, 0);
  }

  rate(perSecond) {
    find('rate').textContent = perSecond === null ? '–' : perSecond.toFixed(1);
  }

  threads(count) {
    find('threads').textContent = String(count);
  }
}
