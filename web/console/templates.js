// The templates in force, and beginning a new one.

import { call, segment } from "./api.js";
import { button, failure, open } from "./dialog.js";
import { card, empty, fill, h, link, pageHead } from "./dom.js";
import { field, form, select, text } from "./form.js";
import { PagedList, Table } from "./table.js";
import { badge, when } from "./words.js";

export async function show(ground, context) {
  const { query } = context;
  const wanted = text({ value: query.get("search") ?? "", type: "search" });
  const origin = select(
    [
      ["", "any origin"],
      ["saved", "saved here"],
      ["file", "files of the configuration"],
      ["shipped", "built in"],
    ],
    query.get("origin") ?? "",
  );
  const search = h(
    "form",
    {
      class: "card search",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        location.hash = `#/templates?${new URLSearchParams({ search: wanted.value.trim(), origin: origin.value })}`;
      },
    },
    field("Search", wanted, "Part of the code, the description or the category."),
    field("Origin", origin),
    h("button", { type: "submit" }, "Search"),
  );
  const list = new PagedList({
    path: "/v1/templates",
    query: { search: query.get("search"), origin: query.get("origin") },
    context,
    none: () =>
      empty("No template fits", "Search for less, or make a new one.", h("p", {}, link("/templates", "All templates"))),
    table: new Table({
      caption: "Templates, by code",
      columns: [
        {
          label: "Code",
          value: (row) => link(`/template/${segment(row.code)}`, h("code", {}, row.code)),
          sort: (row) => row.code,
        },
        {
          label: "What for",
          wide: true,
          value: (row) => [row.description ?? "", row.problem && h("span", { class: "badge bad" }, row.problem)],
          sort: (row) => row.description,
        },
        { label: "Category", value: (row) => row.category ?? "—", sort: (row) => row.category },
        { label: "Languages", value: (row) => row.locales.join(", ") },
        { label: "Version", number: true, value: (row) => row.version || "built in", sort: (row) => row.version },
        { label: "State", value: (row) => badge(row.active ? "active" : "off"), sort: (row) => String(row.active) },
        { label: "Changed", value: (row) => when(row.updated_at), sort: (row) => row.updated_at },
      ],
    }),
  });
  fill(
    ground,
    pageHead(
      "Templates",
      "What messages are made of.",
      button("New template", begin, { needs: "admin", kind: "primary" }),
    ),
    search,
    card("Templates", list.element),
  );
  await list.reload();
}

async function begin() {
  await open("New template", (close) => {
    const [code, category] = [
      text({ required: true, pattern: "[A-Za-z0-9._\\-]{1,100}", placeholder: "order.shipped" }),
      text({ value: "transactional" }),
    ];
    const trouble = h("div", {});
    const create = button(
      "Create",
      async () => {
        const template = {
          code: code.value.trim(),
          category: category.value.trim() || undefined,
          locales: { en: { title: "Hello {{name}}", body: "Hello {{name}}" } },
          variables: [{ name: "name", type: "string", example: "Ada" }],
        };
        try {
          await call("POST", "/v1/templates", { body: { template, comment: "begun in the console" }, once: true });
          close();
          location.hash = `#/template/${segment(template.code)}`;
        } catch (error) {
          fill(trouble, failure(error));
        }
      },
      { needs: "admin", kind: "primary", type: "submit" },
    );
    return form(
      [
        field("Code", code, "Letters, digits, points, hyphens and underscores. Requests name it."),
        field("Category", category),
        trouble,
      ],
      [h("button", { type: "button", onclick: () => close() }, "Leave it"), create],
    );
  });
}
