// The audit log: who did what, with which key.

import { button } from "./dialog.js";
import { card, empty, fill, h, pageHead } from "./dom.js";
import { field, form, text } from "./form.js";
import { may, whyNot } from "./session.js";
import { PagedList, Table } from "./table.js";
import { when } from "./words.js";

export async function show(ground, context) {
  const head = pageHead(
    "Audit",
    "What was changed, and what was exported, by whom. Users and addresses stand here as hashes; what was done to one user is found by their id.",
  );
  if (!may("admin")) {
    fill(ground, head, h("p", { class: "notice warn" }, whyNot("admin")));
    return;
  }
  const user = text({});
  const lines = h("div", {});
  const load = async () => {
    const id = user.value.trim();
    const list = new PagedList({
      path: "/v1/audit",
      query: { user_id: id || undefined },
      context,
      none: () => empty("Nothing was done", "Every change with a key of an administrator comes here, and every export."),
      table: new Table({
        caption: "What was done, the latest first",
        columns: [
          { label: "When", value: (row) => when(row.at), sort: (row) => row.at },
          { label: "Key", value: (row) => row.by, sort: (row) => row.by },
          { label: "What", value: (row) => h("code", {}, `${row.method} ${row.route}`), sort: (row) => row.route, wide: true },
          { label: "Object", value: (row) => row.object, sort: (row) => row.object },
          { label: "Answer", value: (row) => row.status ?? "not known", sort: (row) => row.status ?? 0 },
        ],
      }),
    });
    fill(lines, list.element);
    await list.reload();
  };
  fill(
    ground,
    head,
    form([field("Only what was done to this user", user, "A user's id.")], [button("Show", load, { type: "submit" })]),
    card("What was done", lines),
  );
  await load();
}
