'use strict';
// Sorts tables by their headings: once for the best first, again for the reverse.
// Cells without a value stay last either way.
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0];
  const first = table.tHead.rows[0].cells[0];
  const headings = [first, ...table.tHead.rows[1].cells];

  const compare = (index, direction) => (a, b) => {
    const x = a.cells[index].dataset.value;
    const y = b.cells[index].dataset.value;
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    const order = index === 0 ? x.localeCompare(y) : Number(x) - Number(y);
    return direction === 'ascending' ? order : -order;
  };

  headings.forEach((heading, index) => {
    const button = heading.querySelector('button');
    button.addEventListener('click', () => {
      const now = heading.getAttribute('aria-sort');
      const reverse = now === 'ascending' ? 'descending' : 'ascending';
      const direction = now === 'none' ? button.dataset.best : reverse;
      for (const other of headings) other.setAttribute('aria-sort', 'none');
      heading.setAttribute('aria-sort', direction);
      body.append(...[...body.rows].sort(compare(index, direction)));
    });
  });
}
