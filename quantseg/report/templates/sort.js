(() => {
  "use strict";
  const collator = new Intl.Collator("en", { numeric: true });
  const key = (cell, numeric) => (numeric ? Number(cell.dataset.sort ?? NaN) : cell.textContent.trim());

  function compare(a, b, numeric) {
    if (!numeric) return collator.compare(a, b);
    return a - b;
  }

  function sorted(groups, column, direction) {
    const numeric = groups.some((group) => group[0].cells[column].dataset.sort !== undefined);
    const keyed = groups.map((group) => ({ group, key: key(group[0].cells[column], numeric) }));
    const last = ({ key }) => numeric && Number.isNaN(key);
    return keyed
      .sort((a, b) => last(a) - last(b) || (last(a) ? 0 : direction * compare(a.key, b.key, numeric)))
      .map(({ group }) => group);
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const groups = [];
    for (const row of body.rows) {
      if (row.classList.contains("remark") && groups.length) groups.at(-1).push(row);
      else groups.push([row]);
    }
    if (groups.length < 2) return;
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next !== null) head.setAttribute("aria-sort", next ?? "ascending");
        const order = next === null ? groups : sorted(groups, column, next ? -1 : 1);
        body.append(...order.flat());
      });
    });
  }

  document.querySelectorAll("table").forEach(sortable);
})();
