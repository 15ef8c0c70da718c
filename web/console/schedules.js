// Schedules: what begins by itself, when next, and what came of it.

import { call, get, segment } from "./api.js";
import { ask, button, failure, open, toast } from "./dialog.js";
import { card, empty, facts, fill, h, json, link, pageHead } from "./dom.js";
import { field, form, numbered, numberedField, readJson, text } from "./form.js";
import { PagedList, Table } from "./table.js";
import { badge, count, when } from "./words.js";

const EXAMPLE = {
  cron: "0 9 * * *",
  timezone: "Europe/Berlin",
  scan: {
    attribute: "membership_expires_at",
    days_ahead: [7, 3, 1],
    send: { content: { title: "Your membership ends soon", body: "In {{days_ahead}} days." } },
  },
};

export async function show(ground, context) {
  if (context.rest[0]) {
    await one(ground, context, context.rest[0]);
    return;
  }
  const list = new PagedList({
    path: "/v1/schedules",
    context,
    none: () =>
      empty(
        "No schedules",
        "A schedule begins a scan of users, an event or a campaign at the times of a cron expression. Make the first one with the button above.",
      ),
    table: new Table({
      caption: "Schedules, by name",
      columns: [
        {
          label: "Schedule",
          value: (row) => link(`/schedules/${segment(row.name)}`, row.name),
          sort: (row) => row.name,
        },
        {
          label: "State",
          value: (row) => badge(row.problems?.length ? "broken" : row.active ? "active" : "off"),
          sort: (row) => String(row.active),
        },
        {
          label: "What for",
          wide: true,
          value: (row) => [
            row.description ?? "",
            row.problems?.map(({ detail }) => h("span", { class: "badge bad" }, detail)),
          ],
          sort: (row) => row.description,
        },
        { label: "Version", number: true, value: (row) => row.version, sort: (row) => row.version },
        { label: "Changed", value: (row) => when(row.changed_at), sort: (row) => row.changed_at },
      ],
    }),
  });
  fill(
    ground,
    pageHead(
      "Schedules",
      "What begins by itself.",
      button("New schedule", () => edit(null, EXAMPLE, () => list.reload()), { needs: "admin", kind: "primary" }),
    ),
    card("Schedules", list.element),
  );
  await list.reload();
}

async function one(ground, context, name) {
  const path = `/v1/schedules/${segment(name)}`;
  const schedule = await get(path, {}, context.signal);
  const runs = new PagedList({
    path: `${path}/runs`,
    context,
    limit: 20,
    none: () => empty("It never ran", "Its next runs are above. Run it now to try it."),
    table: new Table({
      caption: "Runs, newest first",
      columns: [
        { label: "Due", value: (row) => when(row.due_at), sort: (row) => row.due_at },
        { label: "Kind", value: (row) => row.kind.replaceAll("_", " "), sort: (row) => row.kind },
        {
          label: "Status",
          value: (row) => [badge(row.status), row.error && ` ${row.error}`],
          sort: (row) => row.status,
        },
        {
          label: "Members",
          number: true,
          value: (row) =>
            row.totals
              ? `${count(row.totals.processed)} of ${row.totals.total === null ? "…" : count(row.totals.total)}`
              : "—",
          sort: (row) => row.totals?.processed ?? 0,
        },
        {
          label: "Succeeded",
          number: true,
          value: (row) => count(row.totals?.succeeded),
          sort: (row) => row.totals?.succeeded ?? 0,
        },
        {
          label: "Failed",
          number: true,
          value: (row) => count(row.totals?.failed),
          sort: (row) => row.totals?.failed ?? 0,
        },
        {
          label: "Skipped",
          number: true,
          value: (row) => count(row.totals?.skipped),
          sort: (row) => row.totals?.skipped ?? 0,
        },
        {
          label: "Campaigns",
          number: true,
          value: (row) =>
            row.campaigns.length === 1
              ? link(`/campaigns/${segment(row.campaigns[0])}`, "1")
              : count(row.campaigns.length),
        },
        { label: "Events", number: true, value: (row) => count(row.events) },
      ],
    }),
  });
  const again = () => {
    ground.replaceChildren();
    return one(ground, context, name);
  };
  const buttons = [
    button(
      "Run now…",
      async () => {
        if (
          !(await ask({
            title: `Run “${name}” now?`,
            text: "Out of turn, and also if it is switched off. Whom it tells is told now.",
            action: "Run it now",
          }))
        )
          return;
        const run = await call("POST", `${path}/run`, { body: {}, once: true });
        toast(
          run.status === "failed" ? `It could not begin: ${run.error}` : "It has begun.",
          run.status === "failed" ? "bad" : "good",
        );
        await runs.reload();
      },
      { needs: "admin", kind: "primary" },
    ),
    button("Change…", () => edit(name, schedule.definition, again, schedule.etag), { needs: "admin" }),
    button(
      "Delete…",
      async () => {
        if (
          !(await ask({
            title: `Delete “${name}”?`,
            text: "It runs no more. What its runs have begun goes on.",
            action: "Delete it",
          }))
        )
          return;
        await call("DELETE", path, { headers: { "if-match": schedule.etag } });
        location.hash = "#/schedules";
      },
      { needs: "admin", kind: "danger" },
    ),
  ];
  fill(
    ground,
    pageHead(name, schedule.description, link("/schedules", "All schedules"), buttons),
    schedule.problems?.length > 0 &&
      h(
        "div",
        { class: "notice bad" },
        h("p", {}, h("strong", {}, "It cannot be used:")),
        h(
          "ul",
          { class: "plain-list" },
          schedule.problems.map(({ pointer, detail }) => h("li", {}, `${pointer}: ${detail}`)),
        ),
      ),
    card(
      "What it does",
      facts([
        ["State", badge(schedule.active ? "active" : "off")],
        ["Cron", h("code", {}, schedule.definition.cron)],
        ["Time zone", schedule.definition.timezone],
        ["Version", schedule.version],
      ]),
      h("h3", {}, "Next runs, in your own time zone"),
      schedule.next_runs.length > 0
        ? h(
            "ul",
            { class: "plain-list" },
            schedule.next_runs.map((next) => h("li", {}, when(next))),
          )
        : h("p", { class: "soft" }, "None: it is switched off, or cannot be used."),
      h("details", {}, h("summary", {}, "Its definition"), json(schedule.definition)),
    ),
    card("Runs", runs.element),
  );
  await runs.reload();
  context.every(3000, () =>
    runs.rows.some((row) => row.status === "starting" || row.totals?.open > 0) ? runs.reload() : null,
  );
}

async function edit(name, definition, done, etag) {
  await open(name ? `Change “${name}”` : "New schedule", (close) => {
    const called = text({ pattern: "[a-z0-9._\\-]{1,64}", required: true });
    const source = numbered({ rows: 14, value: JSON.stringify(definition, null, 2) });
    const said = h("div", { role: "status" });
    const preview = button("When would it run?", async () => {
      try {
        const { cron, timezone } = readJson(source.control, "The definition") ?? {};
        const { next_runs: next } = await call("POST", "/v1/schedules/preview", { body: { cron, timezone } });
        fill(
          said,
          h(
            "div",
            { class: "notice" },
            h("p", {}, "Next runs:"),
            h(
              "ul",
              { class: "plain-list" },
              next.map((one) => h("li", {}, when(one))),
            ),
          ),
        );
      } catch (error) {
        fill(said, failure(error));
      }
    });
    const save = button(
      "Save",
      async () => {
        try {
          const body = readJson(source.control, "The definition");
          if (name)
            await call("PUT", `/v1/schedules/${segment(name)}`, { body, headers: etag ? { "if-match": etag } : {} });
          else await call("POST", "/v1/schedules", { body: { name: called.value.trim(), ...body }, once: true });
          close();
          toast("Saved. It counts from now on.");
          await done();
        } catch (error) {
          fill(said, failure(error));
        }
      },
      { needs: "admin", kind: "primary", type: "submit" },
    );
    return form(
      [
        !name && field("Name", called, "Small letters, digits, points, hyphens and underscores."),
        h(
          "div",
          { class: "span" },
          numberedField("Definition (JSON)", source, "cron, timezone, and one of scan, event and campaign."),
        ),
        h("div", { class: "span" }, said),
      ].filter(Boolean),
      [h("button", { type: "button", onclick: () => close() }, "Leave it"), preview, save],
    );
  });
}
