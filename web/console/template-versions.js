// The versions of a template: reading one, and putting one back in force.

import { call, get } from "./api.js";
import { ask, button, open, toast } from "./dialog.js";
import { fill, h, json } from "./dom.js";
import { PagedList, Table } from "./table.js";
import { badge, when } from "./words.js";

/** The versions of what is edited, newest first. */
export function versions(editor) {
  const list = new PagedList({
    path: `${editor.path}/versions`,
    context: editor.context,
    limit: 20,
    none: () =>
      h(
        "p",
        { class: "soft" },
        "Nothing was saved here: this is the built-in template. Save it to make a version of your own.",
      ),
    table: new Table({
      caption: "Versions, newest first",
      columns: [
        {
          label: "Version",
          value: (row) => [row.version, " ", row.current && badge("in force", "good")],
          sort: (row) => row.version,
        },
        { label: "Saved", value: (row) => when(row.at), sort: (row) => row.at },
        { label: "By", value: (row) => row.by ?? "", sort: (row) => row.by },
        { label: "Why", wide: true, value: (row) => row.comment ?? "" },
        {
          label: "",
          value: (row) =>
            h(
              "div",
              { class: "actions" },
              button("Show", () => showVersion(editor, row.version)),
              !row.current && button("Put in force…", () => rollBack(editor, row.version), { needs: "admin" }),
            ),
        },
      ],
    }),
  });
  // A built-in template has no versions, which the API says as 404.
  if (editor.whole.origin === "saved") list.reload();
  else fill(list.element, list.none());
  return list.element;
}

async function showVersion(editor, version) {
  const { template } = await get(`${editor.path}/versions/${version}`);
  await open(`Version ${version}`, (close) =>
    h(
      "div",
      { class: "stack" },
      json(template),
      h(
        "div",
        { class: "actions end" },
        h(
          "button",
          {
            type: "button",
            onclick: () => {
              editor.take(template);
              editor.paint();
              editor.render();
              close();
            },
          },
          "Edit from here",
        ),
        h("button", { type: "button", onclick: () => close() }, "Close"),
      ),
    ),
  );
}

async function rollBack(editor, version) {
  if (
    !(await ask({
      title: `Put version ${version} in force?`,
      text: "Messages that wait are made of it, too. The versions after it stay, and can be put in force again.",
      action: "Put in force",
    }))
  )
    return;
  await call("POST", `${editor.path}/rollback`, {
    body: { version },
    headers: { "if-match": editor.whole.etag },
    once: true,
  });
  toast(`Version ${version} is in force.`);
  await editor.load();
}
