// The model card, MODEL_CARD.md, read on the page: as text, whatever is in it.

const find = (id) => document.getElementById(id);
const MARKED = /\\([^\w\s])/g; // a character that Markdown would take as markup

export function listenToCard() {
  find('open-card').addEventListener('click', async () => {
    const found = await fetch('MODEL_CARD.md').catch(() => null);
    const text = found?.ok ? await found.text() : 'MODEL_CARD.md is missing; copy the whole folder of the app.';
    find('card-text').textContent = text.replace(MARKED, '$1');
    find('card').showModal();
  });
  find('close-card').addEventListener('click', () => find('card').close());
}
