'use strict';
// Sorts tables by their headings, once for the best first, again for the reverse, and shows their
// rows up to a number. Cells without a value stay last either way. Filters pick rows, columns, charts
// and pictures; what is chosen stands in the fragment of the address, so that a link or a reload
// shows the same. What is shown can be saved as CSV or as a picture.

const collator = new Intl.Collator(undefined, { numeric: true });
const tables = [...document.querySelectorAll('table.sortable')].map((table) => ({
  headings: [table.tHead.rows[0].cells[0], ...table.tHead.rows[1].cells],
  parts: [...table.tBodies].filter((body) => body.dataset.part).map(makePart),
}));

function makePart(body) {
  const step = Number(body.dataset.shown);
  const home = body.closest('.scroll').parentElement;
  const more = home.querySelector(`:scope > [data-more="${body.dataset.part}"]`);
  const part = { body, more, step, shown: step, rows: [...body.rows], isWanted: () => true };
  more.querySelector('button').addEventListener('click', () => {
    part.shown += part.step;
    showPart(part);
  });
  return part;
}

// Shows the first wanted rows of a part of a table, and offers more if there are any.
function showPart(part) {
  let found = 0;
  for (const row of part.rows) {
    const isHidden = !part.isWanted(row) || ++found > part.shown;
    if (row.hidden !== isHidden) row.hidden = isHidden;
  }
  part.more.hidden = found <= part.shown || part.body.hidden;
  const count = Math.min(part.shown, found).toLocaleString('en');
  part.more.querySelector('span').textContent = `${count} of ${found.toLocaleString('en')} shown`;
}

function showTables() {
  for (const table of tables) table.parts.forEach(showPart);
}

function sortPart(part, index, direction, kind) {
  const isText = kind !== 'number';
  const value = (row) => {
    const cell = row.cells[index];
    if (kind === 'name') return cell.textContent;
    if (isText) return ['', '?', '\u2013'].includes(cell.textContent) ? undefined : cell.textContent;
    return cell.dataset.value === undefined ? undefined : Number(cell.dataset.value);
  };
  const sign = direction === 'ascending' ? 1 : -1;
  const keyed = part.rows.map((row) => [value(row), row]);
  keyed.sort(([x], [y]) => {
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (isText ? collator.compare(x, y) : x - y);
  });
  part.rows = keyed.map(([, row]) => row);
  const sorted = document.createDocumentFragment();
  for (const row of part.rows) sorted.append(row);
  part.body.append(sorted);
  showPart(part);
}

function sortTable(table, index, direction) {
  for (const other of table.headings) other.setAttribute('aria-sort', 'none');
  table.headings[index].setAttribute('aria-sort', direction);
  const { kind } = table.headings[index].querySelector('button').dataset;
  for (const part of table.parts) sortPart(part, index, direction, kind);
}

// What the table was last sorted by, as column:direction.
let sortedBy = '';

for (const table of tables) {
  table.headings.forEach((heading, index) => {
    const button = heading.querySelector('button');
    button.addEventListener('click', () => {
      const now = heading.getAttribute('aria-sort');
      const reverse = now === 'ascending' ? 'descending' : 'ascending';
      const direction = now === 'none' ? button.dataset.best : reverse;
      sortTable(table, index, direction);
      sortedBy = `${button.dataset.column}:${direction}`;
      saveState();
    });
  });
}

// Sorts the first table that has the column; the state of the page may name one that is gone.
function sortBy(state) {
  const at = state.lastIndexOf(':');
  const [column, direction] = [state.slice(0, at), state.slice(at + 1)];
  if (!['ascending', 'descending'].includes(direction)) return;
  for (const table of tables) {
    const index = table.headings.findIndex(
      (heading) => heading.querySelector('button').dataset.column === column,
    );
    if (index >= 0) {
      sortTable(table, index, direction);
      sortedBy = state;
      return;
    }
  }
}

const form = document.querySelector('form.filters');
const field = form.elements;
const boxes = [...form.querySelectorAll('[name=group]')];
const columnRules = new CSSStyleSheet();
document.adoptedStyleSheets = [columnRules];
const limited = [...document.querySelectorAll('[data-most]')];
const others = [...document.querySelectorAll('[data-row]:not(tr)')].filter(
  (element) => !element.closest('[data-most]'),
);
let facts = null;

// What there is to know of each row, by its key; made when first needed.
function rowFacts() {
  if (facts) return facts;
  facts = new Map();
  for (const { rows, body } of tables[0].parts) {
    for (const row of rows) {
      const shown = row.cells[0].textContent.toLowerCase();
      // So that ummae finds UM-MAE.
      const text = `${shown} ${shown.replaceAll('-', '')}`;
      const isOwn = body.dataset.part === 'own';
      facts.set(row.dataset.row, { ...row.dataset, text, isOwn, places: placesOf(row) });
    }
  }
  return facts;
}

// The numbers of the column groups in which a row has anything.
function placesOf(row) {
  const cells = row.querySelectorAll('td:is([data-value], :has(.failed)):not(.fact, .rank)');
  return [...cells].map((cell) => /\bg(\d+)\b/.exec(cell.className)[1]);
}

const rowFilters = ['method', 'backbone', 'size', 'folder'];
const chosen = (name) => (field[name] ? field[name].value : '');

// Which column groups are shown, by place: ticked, and of the chosen task and tier. Costs of
// pre-training have no tier and go with every task.
function shownPlaces() {
  const [task, tier] = [chosen('task'), chosen('tier')];
  const isShown = ({ checked, dataset }) =>
    checked &&
    (!dataset.tier || ((!task || dataset.task === task) && (!tier || dataset.tier === tier)));
  return new Set(boxes.filter(isShown).map((box) => box.dataset.place));
}

function wantedRows(shown) {
  const words = chosen('q').toLowerCase().split(/\s+/).filter(Boolean);
  // What pre-training took is of every row, so it keeps none on the page.
  const measured = boxes.filter((box) => box.dataset.tier).map((box) => box.dataset.place);
  const isNarrowed = measured.some((place) => !shown.has(place));
  const asked = new Set(measured.filter((place) => shown.has(place)));
  const wanted = new Set();
  for (const [key, row] of rowFacts()) {
    if (
      rowFilters.every((name) => !chosen(name) || row[name] === chosen(name)) &&
      words.every((word) => row.text.includes(word)) &&
      (!isNarrowed || row.places.some((place) => asked.has(place)))
    ) {
      wanted.add(key);
    }
  }
  return wanted;
}

function apply() {
  const shown = shownPlaces();
  const hidden = boxes.map((box) => box.dataset.place).filter((place) => !shown.has(place));
  columnRules.replaceSync(hidden.map((place) => `.sortable .g${place}{display:none}`).join(''));
  const wanted = wantedRows(shown);
  const withPublished = !field.published || field.published.checked;
  for (const body of document.querySelectorAll('.published-part')) body.hidden = !withPublished;
  for (const { parts } of tables) {
    for (const part of parts) part.isWanted = (row) => wanted.has(row.dataset.row);
  }
  showTables();
  for (const element of others) {
    element.toggleAttribute('hidden', !wanted.has(element.dataset.row));
  }
  for (const container of limited) limit(container, wanted);
  const own = [...rowFacts()].filter(([, row]) => row.isOwn);
  const found = own.filter(([key]) => wanted.has(key)).length;
  form.querySelector('output').textContent =
    `${found.toLocaleString('en')} of ${own.length.toLocaleString('en')} checkpoints`;
}

// Of a chart or a legend with many rows the first wanted ones are shown.
function limit(container, wanted) {
  const most = Number(container.dataset.most);
  const drawn = new Set();
  for (const element of container.querySelectorAll('[data-row]')) {
    const key = element.dataset.row;
    if (wanted.has(key) && drawn.size < most) drawn.add(key);
    element.toggleAttribute('hidden', !drawn.has(key));
  }
}

function saveState() {
  const state = new URLSearchParams();
  for (const name of ['q', ...rowFilters, 'task', 'tier']) {
    if (chosen(name)) state.set(name, chosen(name));
  }
  if (field.published && !field.published.checked) state.set('published', '0');
  const off = boxes.filter((box) => !box.checked).map((box) => box.value);
  if (off.length) state.set('hide', off.join(' '));
  if (sortedBy) state.set('sort', sortedBy);
  const text = state.toString();
  // An address that leads to a place on the page stays as long as there is no state.
  if (!text && !location.hash.includes('=')) return;
  history.replaceState(null, '', `${location.pathname}${location.search}${text && '#'}${text}`);
}

function readState() {
  if (!location.hash.includes('=')) return;
  const state = new URLSearchParams(location.hash.slice(1));
  for (const name of ['q', ...rowFilters, 'task', 'tier']) {
    if (field[name]) field[name].value = state.get(name) ?? '';
    // A choice that the board does not have any more would hide everything.
    if (field[name] && field[name].selectedIndex === -1) field[name].value = '';
  }
  if (field.published) field.published.checked = state.get('published') !== '0';
  const off = (state.get('hide') ?? '').split(' ');
  for (const box of boxes) box.checked = !off.includes(box.value);
  if (state.get('sort')) sortBy(state.get('sort'));
}

function change() {
  apply();
  saveState();
}

let waiting = 0;
form.addEventListener('input', () => {
  clearTimeout(waiting);
  waiting = setTimeout(change, 80);
});
form.addEventListener('submit', (event) => event.preventDefault());
form.addEventListener('reset', () => setTimeout(change));
window.addEventListener('hashchange', () => {
  if (!location.hash.includes('=')) return;
  readState();
  apply();
});

form.hidden = false;
readState();
apply();

// What is shown of the first table, as rows of texts; values are unrounded.
function shownCells() {
  const { headings, parts } = tables[0];
  const places = headings.map((cell, index) => index).filter((i) => headings[i].offsetParent);
  const title = (cell) => {
    const button = cell.querySelector('button');
    return button.title || button.innerText.replace(/\s+/g, ' ').trim();
  };
  const names = (row) =>
    ['.method', '.backbone', '.label'].map((part) => row.cells[0].querySelector(part).textContent);
  const value = (cell) =>
    (!cell.classList.contains('fact') && cell.dataset.value) || cell.innerText.replace('\u2013', '').trim();
  const head = ['Method', 'Backbone', 'Checkpoint', ...places.slice(1).map((i) => title(headings[i]))];
  const rows = parts.flatMap((part) => part.rows.filter((row) => row.offsetParent));
  const published = (row) => (row.dataset.row.startsWith('p') ? 'published' : 'measured');
  return [
    [...head, 'origin'],
    ...rows.map((row) => [
      ...names(row), ...places.slice(1).map((i) => value(row.cells[i])), published(row),
    ]),
  ];
}

function csv() {
  // Spreadsheets run a text that begins like a formula.
  const safe = (text) => (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text);
  const quoted = (text) => `"${safe(text).replaceAll('"', '""')}"`;
  const lines = shownCells().map((row) => row.map(quoted).join(','));
  return new Blob([`${lines.join('\n')}\n`], { type: 'text/csv' });
}

// Draws the table as it is shown: backgrounds and lines of its cells, then each word in its place.
function png() {
  const table = document.querySelector('table.sortable');
  const scroll = table.closest('.scroll');
  const left = scroll.scrollLeft;
  scroll.scrollLeft = 0;
  const box = table.getBoundingClientRect();
  const scale = Math.min(2, 16000 / Math.max(box.width, box.height));
  const canvas = Object.assign(document.createElement('canvas'), {
    width: Math.ceil(box.width * scale), height: Math.ceil(box.height * scale),
  });
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  pen.translate(-box.left, -box.top);
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(box.left, box.top, box.width, box.height);
  for (const cell of table.querySelectorAll('th, td')) {
    if (cell.offsetParent) drawBox(pen, cell);
  }
  const words = document.createTreeWalker(table, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) drawWords(pen, words.currentNode);
  scroll.scrollLeft = left;
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
}

function drawBox(pen, cell) {
  const { left, bottom, top, width, height } = cell.getBoundingClientRect();
  const style = getComputedStyle(cell);
  pen.fillStyle = style.backgroundColor;
  pen.fillRect(left, top, width, height);
  pen.fillStyle = style.borderBottomColor;
  if (parseFloat(style.borderBottomWidth)) pen.fillRect(left, bottom - 1, width, 1);
  pen.fillStyle = style.borderLeftColor;
  if (parseFloat(style.borderLeftWidth)) pen.fillRect(left, top, 1, height);
}

function drawWords(pen, node) {
  const parent = node.parentElement;
  if (!parent.offsetParent || parent.closest('.unseen')) return;
  const style = getComputedStyle(parent);
  // The shorthand is empty here, since it cannot hold the kind of the figures.
  pen.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  pen.fillStyle = style.color;
  pen.textBaseline = 'middle';
  const range = document.createRange();
  for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
    range.setStart(node, index);
    range.setEnd(node, index + word.length);
    const { left, top, height } = range.getBoundingClientRect();
    pen.fillText(word, left, top + height / 2);
  }
}

for (const button of form.querySelectorAll('[data-download]')) {
  button.addEventListener('click', async () => {
    const kind = button.dataset.download;
    const address = URL.createObjectURL(await { csv, png }[kind]());
    Object.assign(document.createElement('a'), {
      href: address, download: `leaderboard.${kind}`,
    }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  });
}
