// Runs before the app's modules, and also in a page that is opened as a file, where browsers load no modules.

{
  const isFile = location.protocol === 'file:';
  document.documentElement.classList.toggle('as-file', isFile);
  document.getElementById('opened-as-a-file').hidden = !isFile;
  // A picture that is dropped is never opened in place of the page, whatever has been loaded by then.
  ['dragover', 'drop'].forEach((kind) => document.addEventListener(kind, (event) => event.preventDefault()));
}
