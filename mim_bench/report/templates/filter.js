// Filters rows, columns, charts and pictures; what is chosen stands in the fragment of the address,
// so that a link or a reload shows the same.

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
      const { method, backbone, groups } = row.dataset;
      const shown = row.cells[0].textContent.toLowerCase();
      // So that ummae finds UM-MAE.
      const text = `${shown} ${shown.replaceAll('-', '')}`;
      const isOwn = body.dataset.part === 'own';
      const places = groups === undefined ? placesOf(row) : groups.split(' ').filter(Boolean);
      facts.set(row.dataset.row, { method, backbone, text, isOwn, places });
    }
  }
  return facts;
}

function placesOf(row) {
  const cells = [...row.querySelectorAll('td[data-value]')];
  return cells.map((cell) => /\bg(\d+)\b/.exec(cell.className)[1]);
}

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
  const [method, backbone] = [chosen('method'), chosen('backbone')];
  // What pre-training took is of every row, so it keeps none on the page.
  const measured = boxes.filter((box) => box.dataset.tier).map((box) => box.dataset.place);
  const isNarrowed = measured.some((place) => !shown.has(place));
  const asked = new Set(measured.filter((place) => shown.has(place)));
  const wanted = new Set();
  for (const [key, row] of rowFacts()) {
    if (
      (!method || row.method === method) &&
      (!backbone || row.backbone === backbone) &&
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
  for (const name of ['q', 'method', 'backbone', 'task', 'tier']) {
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
  for (const name of ['q', 'method', 'backbone', 'task', 'tier']) {
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

// While `mim-bench report --watch` runs, the page asks for itself again.
const seconds = Number(document.body.dataset.reload);
if (seconds) {
  setInterval(() => {
    if (!document.hidden && !form.contains(document.activeElement)) location.reload();
  }, 1000 * seconds);
}
