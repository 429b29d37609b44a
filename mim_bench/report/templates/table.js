'use strict';
// Sorts tables by their headings, once for the best first, again for the reverse, and shows their
// rows up to a number. Cells without a value stay last either way. filter.js says which rows are
// wanted and keeps the state.

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

function sortPart(part, index, direction) {
  const value = (row) => {
    if (index === 0) return row.cells[0].textContent;
    const number = row.cells[index].dataset.value;
    return number === undefined ? undefined : Number(number);
  };
  const sign = direction === 'ascending' ? 1 : -1;
  const keyed = part.rows.map((row) => [value(row), row]);
  keyed.sort(([x], [y]) => {
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (index === 0 ? collator.compare(x, y) : x - y);
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
  for (const part of table.parts) sortPart(part, index, direction);
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
