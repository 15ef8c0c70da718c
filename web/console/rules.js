// Rules and event types: which event tells whom what, and trying them.

import { call, get, segment } from "./api.js";
import { ask, button, failure, toast } from "./dialog.js";
import { card, empty, facts, fill, h, json, link, pageHead } from "./dom.js";
import { numbered, numberedField, readJson } from "./form.js";
import { tabs } from "./message.js";
import { PagedList, Table } from "./table.js";
import { badge, when } from "./words.js";

const TRIALS = {
  made: ["good", "The rule would send this:"],
  condition_fails: ["warn", "The condition does not hold for this event: nothing would be sent."],
  impossible: ["bad", "The condition holds, but no notification can be made of the event:"],
  refused: ["bad", "The event is not as its type declares it:"],
};

export async function show(ground, context) {
  const [kind, name] = context.rest;
  if (kind === "rule" && name) await rule(ground, context, name);
  else if (kind === "event" && name) await eventType(ground, context, name);
  else lists(ground, context, kind === "events" ? 1 : 0);
}

function lists(ground, context, chosen) {
  const common = [
    {
      label: "State",
      value: (row) => badge(row.problems.length > 0 ? "broken" : row.active ? "active" : "off"),
      sort: (row) => String(row.active),
    },
    {
      label: "What for",
      wide: true,
      value: (row) => [
        row.description ?? "",
        row.problems.map(({ detail }) => h("span", { class: "badge bad" }, detail)),
      ],
      sort: (row) => row.description,
    },
    {
      label: "Origin",
      value: (row) => (row.origin === "shipped" ? "built in" : `version ${row.version}`),
      sort: (row) => row.origin,
    },
    { label: "Changed", value: (row) => when(row.changed_at), sort: (row) => row.changed_at },
  ];
  const rules = () => {
    const list = new PagedList({
      path: "/v1/rules",
      context,
      none: () =>
        empty(
          "No rules",
          "A rule says which event sends what to whom: POST /v1/rules makes one.",
          h("a", { href: "/docs" }, "The API"),
        ),
      table: new Table({
        caption: "Rules, by name",
        columns: [
          {
            label: "Rule",
            value: (row) => link(`/rules/rule/${segment(row.name)}`, row.name),
            sort: (row) => row.name,
          },
          {
            label: "Event",
            value: (row) => link(`/rules/event/${segment(row.event)}`, h("code", {}, row.event)),
            sort: (row) => row.event,
          },
          ...common,
        ],
      }),
    });
    list.reload();
    return list.element;
  };
  const events = () => {
    const list = new PagedList({
      path: "/v1/event-types",
      context,
      none: () =>
        empty(
          "No event types",
          "An event type declares the data of an event: POST /v1/event-types makes one.",
          h("a", { href: "/docs" }, "The API"),
        ),
      table: new Table({
        caption: "Event types, by name",
        columns: [
          {
            label: "Event type",
            value: (row) => link(`/rules/event/${segment(row.name)}`, h("code", {}, row.name)),
            sort: (row) => row.name,
          },
          ...common,
        ],
      }),
    });
    list.reload();
    return list.element;
  };
  fill(
    ground,
    pageHead("Rules and events", "What happened in your programs, and whom it tells."),
    h(
      "div",
      { class: "card" },
      tabs(
        "Rules and events",
        [
          ["Rules", rules],
          ["Event types", events],
        ],
        chosen,
      ),
    ),
  );
}

async function rule(ground, context, name) {
  const path = `/v1/rules/${segment(name)}`;
  const [known, type] = [await get(path, {}, context.signal), { example: {} }];
  try {
    Object.assign(
      type,
      (await get(`/v1/event-types/${segment(known.definition.event)}`, {}, context.signal)).definition,
    );
  } catch {
    // A rule whose event type is gone can still be read.
  }
  const event = {
    type: known.definition.event,
    user_id: "alice",
    subject: known.definition.audience === "subscribers" ? "order:42" : undefined,
    data: type.example ?? {},
  };
  const switchIt = button(
    known.definition.active === false ? "Switch on" : "Switch off…",
    async () => {
      const active = known.definition.active === false;
      if (
        !active &&
        !(await ask({
          title: `Switch “${name}” off?`,
          text: "Events make nothing by it until it is switched on again.",
          action: "Switch off",
        }))
      )
        return;
      await call("PUT", path, {
        body: { ...known.definition, active },
        headers: known.origin === "saved" ? { "if-match": known.etag } : {},
      });
      toast(active ? "Switched on." : "Switched off.");
      ground.replaceChildren();
      await rule(ground, context, name);
    },
    { needs: "admin" },
  );
  fill(
    ground,
    pageHead(name, known.description, link("/rules", "All rules"), switchIt),
    problems(known),
    card(
      "What it does",
      facts([
        ["Event", link(`/rules/event/${segment(known.definition.event)}`, known.definition.event)],
        ["State", badge(known.active ? "active" : "off")],
        ["Origin", known.origin === "shipped" ? "built in" : `saved, version ${known.version}`],
        ["Whom", JSON.stringify(known.definition.audience ?? "user")],
        [
          "Template",
          known.definition.send?.template &&
            link(`/template/${segment(known.definition.send.template)}`, known.definition.send.template),
        ],
      ]),
      json(known.definition),
    ),
    trial(path, event),
  );
}

/** Tries a rule with an event; nothing is sent. */
function trial(path, event) {
  const source = numbered({ rows: 12, value: JSON.stringify(event, null, 2) });
  const result = h("div", { class: "stack", role: "status" });
  const test = button(
    "Test it",
    async () => {
      try {
        const said = await call("POST", `${path}/test`, { body: { event: readJson(source.control, "The event") } });
        const [tone, words] = TRIALS[said.outcome] ?? ["warn", said.outcome];
        fill(
          result,
          h("p", { class: `notice ${tone}` }, words),
          said.errors.map(({ pointer, detail }) => h("p", {}, `${pointer}: ${detail}`)),
          said.requests.map((request) => json(request)),
        );
      } catch (error) {
        fill(result, failure(error));
      }
    },
    { needs: "read", kind: "primary" },
  );
  return card(
    "Try it",
    h("p", { class: "soft" }, "What it would make of an event. Nothing is stored or sent."),
    numberedField("Event (JSON)", source),
    h("div", { class: "actions" }, test),
    result,
  );
}

async function eventType(ground, context, name) {
  const known = await get(`/v1/event-types/${segment(name)}`, {}, context.signal);
  const source = numbered({
    rows: 12,
    value: JSON.stringify({ type: name, user_id: "alice", data: known.definition.example ?? {} }, null, 2),
  });
  const result = h("div", { class: "stack", role: "status" });
  const tell = button(
    "Tell this event…",
    async () => {
      try {
        const body = readJson(source.control, "The event");
        if (
          !(await ask({
            title: "Tell this event?",
            text: "Every active rule for it is applied, and what comes of it is sent.",
            action: "Tell it",
          }))
        )
          return;
        const said = await call("POST", "/v1/events", { body, once: true });
        fill(
          result,
          h("p", { class: "notice good" }, `Taken as ${said.id}.`),
          said.notifications?.length > 0
            ? h(
                "ul",
                { class: "plain-list" },
                said.notifications.map((one) =>
                  h("li", {}, `${one.rule}: `, one.id ? link(`/notifications/${segment(one.id)}`, one.id) : json(one)),
                ),
              )
            : h("p", {}, "No rule made anything of it."),
          json(said),
        );
      } catch (error) {
        fill(result, failure(error));
      }
    },
    { needs: "send" },
  );
  fill(
    ground,
    pageHead(name, known.description, link("/rules/events", "All event types")),
    problems(known),
    card("Its definition", json(known.definition)),
    card("Try it", numberedField("Event (JSON)", source), h("div", { class: "actions" }, tell), result),
  );
}

function problems(known) {
  if (!known.problems?.length) return null;
  return h(
    "div",
    { class: "notice bad" },
    h("p", {}, h("strong", {}, "It is not in force:")),
    h(
      "ul",
      { class: "plain-list" },
      known.problems.map(({ pointer, detail }) => h("li", {}, `${pointer}: ${detail}`)),
    ),
  );
}
