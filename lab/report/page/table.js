"use strict";

/**
 * A table whose columns sort by a click on their heads.
 * columns: {name, show(row) -> string or node, by(row) -> what it sorts by, number, wrap}.
 * Returns a function that shows other rows.
 */
function table(host, caption, columns, rows, first = 0) {
  let order = { column: first, down: false };
  const body = element("tbody");
  const heads = columns.map((column, i) => {
    const button = element("button", { type: "button" }, column.name);
    button.addEventListener("click", () => {
      order = { column: i, down: order.column === i && !order.down };
      show();
    });
    return element("th", { scope: "col", class: column.number ? "number" : null }, button);
  });
  const head = element("thead", {}, element("tr", {}, ...heads));
  const whole = element("table", {}, element("caption", {}, caption), head, body);
  host.replaceChildren(element("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 }, whole));

  function show() {
    const { by } = columns[order.column];
    const sorted = [...rows].sort((a, b) => compared(by(a), by(b), order.down));
    heads.forEach((cell, i) => {
      cell.setAttribute("aria-sort", i !== order.column ? "none" : order.down ? "descending" : "ascending");
    });
    body.replaceChildren(...sorted.map((row) => element("tr", {}, ...columns.map((column) => cellOf(column, row)))));
  }

  show();
  return (others) => {
    rows = others;
    show();
  };
}

function cellOf(column, row) {
  const shown = column.show(row);
  const content = Array.isArray(shown) ? shown : [shown];
  const kind = [column.number ? "number" : "", column.wrap ? "wrap" : ""].join(" ").trim();
  return element("td", { class: kind || null }, ...content);
}

/** Numbers by size, words by the alphabet, and what is missing last in either direction. */
function compared(a, b, down) {
  const [missingA, missingB] = [a, b].map((value) => value === null || value === undefined || value === "");
  if (missingA || missingB) return missingA - missingB;
  const [numberA, numberB] = [isNumber(a), isNumber(b)];
  if (numberA !== numberB) return numberA ? -1 : 1;
  const ahead = numberA ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -ahead : ahead;
}
