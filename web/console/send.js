// Sending a test: what would happen first, and then the thing itself.

import { call, segment } from "./api.js";
import { ask, button, failure } from "./dialog.js";
import { card, fill, h, pageHead } from "./dom.js";
import { CHANNELS, PRIORITIES, area, field, form, readJson, select, text, ticks } from "./form.js";
import { message } from "./message.js";
import { decisions } from "./notifications.js";
import { whoAmI } from "./session.js";
import { badge, reason, when } from "./words.js";

export function show(ground, context) {
  const controls = {
    user: text({ value: context.query.get("user") ?? "" }),
    email: text({ type: "email" }),
    phone: text({ type: "tel", placeholder: "+4930123456" }),
    template: text({ value: context.query.get("template") ?? "" }),
    title: text({ value: context.query.get("template") ? "" : "Hello {{name}}" }),
    body: area({ rows: 4, value: context.query.get("template") ? "" : "Your order {{order_id}} is on its way." }),
    html: area({ rows: 3 }),
    data: area({ rows: 4, value: '{"name": "Alice", "order_id": "12345"}' }),
    category: select([["", "the configured default"], ...whoAmI().categories.map(({ name }) => name)], ""),
    priority: select([["", "that of the category"], ...PRIORITIES], ""),
  };
  const channels = ticks("Channels (none: the engine chooses)", CHANNELS, []);
  const result = h("div", { "class": "stack", "role": "region", "aria-label": "What would happen" });
  const once = async (work) => {
    try {
      await work(request(controls, channels));
    } catch (error) {
      fill(result, failure(error));
      result.scrollIntoView?.({ block: "nearest" });
    }
  };
  const dry = button(
    "See what would happen",
    () =>
      once(async (body) =>
        fill(
          result,
          trial(await call("POST", "/v1/notifications", { query: { dry_run: true }, body, signal: context.signal })),
        ),
      ),
    { needs: "send", kind: "primary", type: "submit" },
  );
  const real = button(
    "Send it",
    () =>
      once(async (body) => {
        const to = body.user_id ?? Object.values(body.to ?? {}).join(", ");
        if (
          !(await ask({
            title: "Send this message?",
            text: `It goes out to ${to}, by whatever provider is configured.`,
            action: "Send it",
            danger: false,
          }))
        )
          return;
        const accepted = await call("POST", "/v1/notifications", { body, once: true });
        location.hash = `#/notifications/${segment(accepted.id)}`;
      }),
    { needs: "send" },
  );
  const entry = form(
    [
      field("User id", controls.user, "Or an address below, which overrides the user's."),
      field("Mail address", controls.email),
      field("Phone", controls.phone),
      field("Category", controls.category),
      field("Priority", controls.priority),
      field("Template", controls.template, "A template's code, or else title and text."),
      h("div", { class: "span" }, channels.element),
      field("Title", controls.title),
      h("div", { class: "span" }, field("Text", controls.body)),
      h("div", { class: "span" }, field("HTML", controls.html, "For mail; may be left out.")),
      h("div", { class: "span" }, field("Data (JSON)", controls.data, "What the message is filled from.")),
    ],
    [dry, real],
  );
  fill(
    ground,
    pageHead("Send a test", "A dry run decides and renders, and sends nothing."),
    card("The request", entry),
    result,
  );
}

function request(controls, channels) {
  const said = (name) => controls[name].value.trim() || undefined;
  const to = { email: said("email"), phone: said("phone") };
  const chosen = channels.values();
  const body = {
    user_id: said("user"),
    to: to.email || to.phone ? to : undefined,
    template: said("template"),
    category: said("category"),
    priority: said("priority"),
    channels: chosen.length > 0 ? chosen : undefined,
    data: readJson(controls.data, "Data"),
  };
  if (!body.template) body.content = { title: said("title") ?? "", body: said("body") ?? "", html: said("html") };
  return body;
}

function trial(said) {
  const heading =
    said.status === "planned"
      ? "It would be sent"
      : said.status === "merged"
        ? "It would be merged into another's message"
        : `It would not be sent: ${reason(said.reason)}`;
  return [
    h(
      "p",
      { class: `notice ${said.status === "planned" ? "good" : "warn"}`, role: "status" },
      h("strong", {}, heading),
      " Nothing was stored or sent.",
    ),
    said.tasks.map((task) =>
      card(
        `To ${task.to} by ${task.channel}`,
        task.due_at && h("p", {}, "Due ", when(task.due_at)),
        task.error
          ? h("p", { class: "notice bad" }, `It cannot be rendered: ${task.error}`)
          : task.message
            ? message(task.message, { channel: task.channel, to: task.to })
            : badge("no message"),
      ),
    ),
    card("What the gates would decide", decisions(said.decisions)),
  ];
}
