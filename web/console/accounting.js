// The books: what came in, and what became of each of it.

import { get } from "./api.js";
import { failure } from "./dialog.js";
import { card, fill, h, pageHead } from "./dom.js";
import { may, whyNot } from "./session.js";
import { Table } from "./table.js";
import { count, reason } from "./words.js";

const COLUMNS = [
  "in",
  "sent",
  "skipped",
  "merged",
  "failed",
  "expired",
  "cancelled",
  "unknown",
  "open",
  "scheduled",
  "rejected",
];

export async function show(ground, context) {
  const head = pageHead(
    "Accounting",
    "in = sent + skipped + merged + failed + expired + cancelled + unknown + open. All nodes, all tenants; scheduled is part of open.",
  );
  if (!may("admin")) {
    fill(ground, head, h("p", { class: "notice warn" }, whyNot("admin")));
    return;
  }
  const [state, reasons] = [h("div", {}), h("div", {})];
  const number = (name) => ({
    label: name,
    number: true,
    value: (row) => count(row[name]),
    sort: (row) => row[name] ?? 0,
  });
  const table = new Table({
    caption: "The books by source and lane",
    columns: [
      { label: "Source", value: (row) => row.source ?? h("b", {}, "All"), sort: (row) => row.source ?? "" },
      { label: "Lane", value: (row) => row.lane ?? "", sort: (row) => row.lane ?? "" },
      ...COLUMNS.map(number),
    ],
  });
  const why = new Table({
    caption: "Skipped, by reason",
    columns: [
      { label: "Reason", value: (row) => reason(row.name), sort: (row) => row.name, wide: true },
      { label: "Notifications", number: true, value: (row) => count(row.count), sort: (row) => row.count },
    ],
  });
  fill(ground, head, state, card("By source and lane", table.element), card("Why messages were skipped", reasons));
  const load = async () => {
    try {
      const books = await get("/v1/accounting", {}, context.signal);
      fill(state, balance(books));
      table.set([books.total, ...books.lines]);
      const skipped = Object.entries(books.total.skipped_by_reason ?? {})
        .map(([name, count]) => ({ name, count }))
        .filter(({ count }) => count > 0)
        .sort((a, b) => b.count - a.count);
      why.set(skipped);
      fill(reasons, skipped.length > 0 ? why.element : h("p", { class: "soft" }, "Nothing was skipped."));
    } catch (error) {
      if (!context.signal.aborted) fill(state, failure(error, load));
    }
  };
  context.every(5000, load);
  await load();
}

function balance({ unaccounted, unreachable_nodes: unreachable }) {
  const notes = [];
  if (unaccounted === 0)
    notes.push(h("p", { class: "notice good" }, "The books balance: everything that came in is accounted for."));
  else
    notes.push(
      h(
        "p",
        { class: "notice warn" },
        `${count(unaccounted)} are unaccounted for. Under load this moves around 0; when nothing is under way, it is a fault.`,
      ),
    );
  if (unreachable)
    notes.push(
      h(
        "p",
        { class: "notice warn" },
        `${unreachable} node(s) did not answer: their shards are missing until others have taken them over.`,
      ),
    );
  return notes;
}
