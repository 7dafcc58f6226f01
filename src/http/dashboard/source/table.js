/**
 * Tables with a caption, scopes and pages. Rows are kept by key, so that a table that is refreshed
 * every few seconds keeps focus and selection. On a narrow screen the style sheet shows each row as a
 * card; the explicit roles keep it a table for assistive technology all the same.
 */

import { h, setAttribute } from "./dom.js";

const PAGE = 25;

/**
 * @param {HTMLElement} place
 * @param {{ id: string, caption: string, empty: string, page?: number, initial?: string,
 *   columns: { key: string, label: string, isHead?: boolean, isNumber?: boolean,
 *     show: (row: object) => string | Node, sort?: (row: object) => number | string }[],
 *   key: (row: object) => string, attributes?: (row: object) => object }} options
 */
export function table(place, options) {
  const size = options.page ?? PAGE;
  const kept = new Map();
  let all = [];
  let start = 0;
  let order = options.initial ?? null;
  let isDown = true;

  const heads = options.columns.map(head);
  const body = h("tbody", { role: "rowgroup" });
  const element = h(
    "table",
    { id: options.id, role: "table" },
    h("caption", {}, options.caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
    body,
  );
  const empty = h("p", { class: "empty" }, options.empty);
  const older = h("button", { type: "button", class: "quiet", onclick: () => turn(size) }, options.olderLabel ?? "Next");
  const newer = h("button", { type: "button", class: "quiet", onclick: () => turn(-size) }, options.newerLabel ?? "Previous");
  const where = h("span", { role: "status" });
  const pager = h("p", { class: "pager" }, newer, where, older);
  const sorter = sortControl();
  place.append(...[sorter, element, empty, pager].filter(Boolean));

  function head(column) {
    const attributes = { scope: "col", role: "columnheader", class: column.isNumber ? "number" : null };
    if (!column.sort) return h("th", attributes, h("span", { class: "headlabel" }, column.label));
    const button = h("button", { type: "button", class: "sort", onclick: () => sortBy(column.key) }, column.label);
    return h("th", { ...attributes, "aria-sort": "none", "data-key": column.key }, button);
  }

  /** The heads are not there on a narrow screen: the same choice as a list. */
  function sortControl() {
    const sortable = options.columns.filter((column) => column.sort);
    if (sortable.length === 0) return null;
    const select = h("select", { onchange: () => sortBy(select.value, true) }, sortable.map((column) => h("option", { value: column.key, selected: column.key === order }, column.label)));
    return h("label", { class: "sorter" }, "Sort by ", select);
  }

  function sortBy(key, keepsDirection = false) {
    // The largest first, and names from A on.
    const column = options.columns.find((column) => column.key === key);
    isDown = order === key && !keepsDirection ? !isDown : Boolean(column.isNumber);
    order = key;
    start = 0;
    const select = sorter?.querySelector("select");
    if (select) select.value = key;
    render();
  }

  function turn(by) {
    start = Math.max(0, start + by);
    render();
    // The button that was pressed may be gone now: the focus stays in the table.
    if (pager.hidden || (by > 0 ? older : newer).disabled) (by > 0 ? newer : older).focus();
  }

  function sorted() {
    const column = options.columns.find(({ key }) => key === order);
    if (!column) return all;
    const sign = isDown ? -1 : 1;
    return [...all].sort((a, b) => {
      const [one, other] = [column.sort(a), column.sort(b)];
      return sign * (typeof one === "string" ? one.localeCompare(other) : one - other);
    });
  }

  function render() {
    const rows = sorted();
    if (start >= rows.length) start = Math.max(0, Math.floor((rows.length - 1) / size) * size);
    const shown = rows.slice(start, start + size);
    const keys = new Set(shown.map(options.key));
    for (const [key, entry] of kept) {
      if (keys.has(key)) continue;
      entry.element.remove();
      kept.delete(key);
    }
    for (const [at, row] of shown.entries()) {
      const line = lineOf(row);
      if (body.children[at] !== line) body.insertBefore(line, body.children[at] ?? null);
    }
    element.hidden = rows.length === 0;
    empty.hidden = rows.length > 0;
    pager.hidden = rows.length <= size;
    if (sorter) sorter.hidden = rows.length < 2;
    newer.disabled = start === 0;
    older.disabled = start + size >= rows.length;
    const words = `${start + 1} to ${start + shown.length} of ${rows.length}`;
    if (where.textContent !== words) where.textContent = words;
    for (const cell of heads) {
      if (cell.dataset.key) setAttribute(cell, "aria-sort", cell.dataset.key !== order ? "none" : isDown ? "descending" : "ascending");
    }
  }

  function lineOf(row) {
    const key = options.key(row);
    let entry = kept.get(key);
    if (!entry) {
      const cells = options.columns.map((column) =>
        column.isHead
          ? h("th", { scope: "row", role: "rowheader", "data-label": column.label })
          : h("td", { role: "cell", class: column.isNumber ? "number" : null, "data-label": column.label }),
      );
      entry = { element: h("tr", { role: "row" }, cells), cells, texts: [] };
      kept.set(key, entry);
    }
    for (const [at, column] of options.columns.entries()) {
      const content = column.show(row);
      const text = typeof content === "string" ? content : content.textContent;
      if (entry.texts[at] === text) continue;
      entry.texts[at] = text;
      entry.cells[at].replaceChildren(content);
    }
    for (const [name, value] of Object.entries(options.attributes?.(row) ?? {})) {
      setAttribute(entry.element, name, String(value));
    }
    return entry.element;
  }

  render();
  return {
    show(rows) {
      all = rows;
      render();
    },
    /** The row's element, after turning to its page. */
    find(key) {
      const at = sorted().findIndex((row) => options.key(row) === key);
      if (at < 0) return null;
      start = Math.floor(at / size) * size;
      render();
      return kept.get(key)?.element ?? null;
    },
  };
}

/** Two lines in one cell. */
export const lines = (...texts) => h("span", { class: "lines" }, texts.filter(Boolean).map((text) => h("span", {}, text)));
