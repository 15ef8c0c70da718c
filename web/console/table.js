// Tables that sort, and lists that come page by page.

import { get, isAbort } from "./api.js";
import { failure } from "./dialog.js";
import { announce, fill, h } from "./dom.js";

/** A table. Columns: `{label, value(row), sort?(row), number?, wide?}`; what `sort` gives is compared as numbers or as text. */
export class Table {
  constructor({ caption, columns, hidden = true }) {
    this.columns = columns;
    this.rows = [];
    this.sorted = null;
    // The roles are said, because narrow screens show rows as blocks, which takes them away.
    this.body = h("tbody", { role: "rowgroup" });
    this.heads = columns.map((column, index) => this.head(column, index));
    this.element = h(
      "div",
      { "class": "table-ground", "tabindex": "0", "role": "region", "aria-label": caption },
      h(
        "table",
        { role: "table" },
        h("caption", { class: hidden ? "visually-hidden" : null }, caption),
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, this.heads)),
        this.body,
      ),
    );
  }

  head(column, index) {
    const kind = column.number ? "number" : null;
    if (!column.sort)
      return h(
        "th",
        { scope: "col", role: "columnheader", class: kind },
        column.label || h("span", { class: "visually-hidden" }, "Actions"),
      );
    const arrow = h("span", { "class": "arrow", "aria-hidden": "true" });
    return h(
      "th",
      { scope: "col", role: "columnheader", class: kind },
      h("button", { type: "button", class: "sorter", onclick: () => this.sortBy(index) }, column.label, arrow),
    );
  }

  sortBy(index) {
    const down = this.sorted?.index === index && !this.sorted.down;
    this.sorted = { index, down };
    this.heads.forEach((head, at) => {
      const mine = at === index;
      if (mine) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      const arrow = head.querySelector(".arrow");
      if (arrow) arrow.textContent = mine ? (down ? "▼" : "▲") : "";
    });
    this.paint();
    announce(`Sorted by ${this.columns[index].label}, ${down ? "descending" : "ascending"}.`);
  }

  set(rows) {
    this.rows = rows;
    this.paint();
  }

  paint() {
    const rows = this.sorted ? [...this.rows].sort(this.order()) : this.rows;
    fill(
      this.body,
      rows.map((row) => this.row(row)),
    );
  }

  order() {
    const { index, down } = this.sorted;
    const key = this.columns[index].sort;
    const sign = down ? -1 : 1;
    return (a, b) => {
      const [x, y] = [key(a) ?? "", key(b) ?? ""];
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    };
  }

  row(row) {
    const cells = this.columns.map((column, index) => {
      const kind = [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") || null;
      const properties = { "class": kind, "data-label": column.label || null };
      const value = column.value(row);
      const content = value === "" || value === null || value === false ? null : h("div", {}, value);
      return index === 0
        ? h("th", { scope: "row", role: "rowheader", ...properties }, content)
        : h("td", { role: "cell", ...properties }, content);
    });
    return h("tr", { role: "row" }, cells);
  }
}

/** A list of the API, a page at a time: a table, how many are shown, and a button for more. `none()` is shown where there is nothing. */
export class PagedList {
  constructor({ path, query = {}, table, none, context, limit = 50, keep = () => true }) {
    Object.assign(this, { path, query, table, none, context, limit, keep });
    this.rows = [];
    this.cursor = null;
    this.count = h("p", { class: "soft small", role: "status" });
    this.more = h("button", { type: "button", onclick: () => this.load(false) }, "Show more");
    this.element = h("div", { class: "stack" });
  }

  /** From the beginning. */
  reload() {
    return this.load(true);
  }

  async load(anew) {
    this.more.disabled = true;
    try {
      const page = await get(
        this.path,
        { limit: this.limit, ...this.query, cursor: anew ? undefined : this.cursor },
        this.context.signal,
      );
      this.rows = (anew ? [] : this.rows).concat(page.data.filter(this.keep));
      this.cursor = page.next_cursor;
      this.paint();
    } catch (error) {
      if (!isAbort(error))
        fill(
          this.element,
          failure(error, () => this.load(anew)),
        );
    } finally {
      this.more.disabled = false;
    }
  }

  paint() {
    if (this.rows.length === 0 && !this.cursor) {
      fill(this.element, this.none());
      return;
    }
    this.table.set(this.rows);
    this.count.textContent = `${this.rows.length} shown${this.cursor ? ", and there are more" : ""}`;
    this.more.hidden = !this.cursor;
    fill(this.element, this.table.element, h("div", { class: "pager" }, this.count, this.more));
  }
}
