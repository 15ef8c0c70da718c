// Finding a notification, by its id or its user, and reading its whole story.

import { call, get, inWords, isAbort, segment } from "./api.js";
import { ask, button, failure, toast } from "./dialog.js";
import { card, empty, facts, fill, h, link, pageHead } from "./dom.js";
import { field, text } from "./form.js";
import { enclosures, message } from "./message.js";
import { may, whyNot } from "./session.js";
import { PagedList, Table } from "./table.js";
import { OUTCOMES, badge, eventInWords, reason, stepName, verdict, when } from "./words.js";

/** The states in which something may still happen. */
const OPEN = ["accepted", "pending", "sending", "scheduled"];

export async function show(ground, context) {
  if (context.rest[0]) {
    await story(ground, context, context.rest[0]);
    return;
  }
  const user = context.query.get("user") ?? "";
  const wanted = text({ value: user, name: "wanted", placeholder: "ntf_… or a user id" });
  const results = h("div", {});
  const search = h(
    "form",
    {
      class: "card search",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        const said = wanted.value.trim();
        if (said.startsWith("ntf_")) location.hash = `#/notifications/${segment(said)}`;
        else if (said.startsWith("tsk_")) byTask(said, results);
        else if (said) location.hash = `#/notifications?user=${segment(said)}`;
      },
    },
    field("Notification or user", wanted, "An id that begins with ntf_ or tsk_, or the id of a user."),
    h("button", { type: "submit", class: "primary" }, "Find"),
  );
  fill(
    ground,
    pageHead(
      "Notifications",
      "Find one, and read what became of it and why.",
      button("Send a test", () => (location.hash = "#/send"), { needs: "send" }),
    ),
    search,
    results,
  );
  if (!user) {
    fill(
      results,
      empty(
        "Nothing looked for yet",
        "Type the id that POST /v1/notifications answered, or a user's id to see their latest. No traffic yet? Send a test.",
        h("p", {}, link("/send", "Send a test")),
      ),
    );
    return;
  }
  const list = history(user, context);
  fill(
    results,
    card(
      `Messages to ${user}`,
      h("p", { class: "small" }, link(`/users/${segment(user)}`, "What is known of this user")),
      list.element,
    ),
  );
  await list.reload();
}

async function byTask(id, results) {
  try {
    const task = await get(`/v1/tasks/${segment(id)}`);
    location.hash = `#/notifications/${segment(task.notification_id)}`;
  } catch (error) {
    fill(results, failure(error));
  }
}

/** A user's notifications, newest first. */
export function history(user, context) {
  return new PagedList({
    path: "/v1/notifications",
    query: { user_id: user },
    context,
    none: () =>
      empty(
        "No notifications",
        "This user got none, or none that is still kept. Is the id spelled as your application sends it?",
      ),
    table: new Table({
      caption: `Notifications to ${user}, newest first`,
      columns: [
        { label: "Notification", value: (row) => link(`/notifications/${segment(row.id)}`, h("code", {}, row.id)) },
        { label: "Status", value: (row) => badge(row.status), sort: (row) => row.status },
        { label: "Accepted", value: (row) => when(row.created_at), sort: (row) => row.created_at },
        { label: "Template", value: (row) => row.template ?? "—", sort: (row) => row.template },
        { label: "Category", value: (row) => row.category ?? "—", sort: (row) => row.category },
        { label: "Priority", value: (row) => row.priority, sort: (row) => row.priority },
      ],
    }),
  });
}

async function story(ground, context, id) {
  const [body, rendered] = [h("div", { class: "stack" }), h("div", {})];
  const cancel = button("Cancel", () => stop(id, load), { needs: "send", kind: "danger" });
  const head = pageHead("Notification", h("code", {}, id), link("/notifications", "Find another"), cancel);
  fill(ground, head, body, rendered);
  let last = "";
  const load = async () => {
    const told = await get(`/v1/notifications/${segment(id)}`, {}, context.signal);
    cancel.hidden = !OPEN.includes(told.status);
    const now = JSON.stringify(told);
    if (now !== last) {
      fill(body, tell(told));
      await messages(id, rendered, context);
    }
    last = now;
    return told;
  };
  const told = await load();
  if (OPEN.includes(told.status) || Date.now() - new Date(told.created_at) < 60_000) context.every(2000, load);
}

async function stop(id, load) {
  if (
    !(await ask({
      title: "Cancel this notification?",
      text: "What was not sent yet is never sent. What a provider has already is not called back.",
      action: "Cancel it",
    }))
  )
    return;
  const done = await call("DELETE", `/v1/notifications/${segment(id)}`);
  toast(
    done.status === "cancelled"
      ? `Cancelled: ${done.stopped} stopped, ${done.too_late} too late.`
      : "Too late: all of it was with a provider, or over.",
    done.status === "cancelled" ? "good" : "warn",
  );
  await load();
}

function tell(told) {
  const merged = told.merged_into && link(`/notifications/${segment(told.merged_into)}`, told.merged_into);
  return [
    card(
      "What it is",
      facts([
        ["Status", [badge(told.status), told.reason && ` ${reason(told.reason)}`]],
        ["Accepted", when(told.created_at)],
        ["User", told.user_id && link(`/users/${segment(told.user_id)}`, told.user_id)],
        ["Template", told.template && link(`/template/${segment(told.template)}`, told.template)],
        ["Category", told.category],
        ["Priority", told.priority],
        ["Routing", told.routing],
        ["Source", told.source],
        ["Language", told.locale],
        ["Variant", told.variant],
        ["Expires", told.expires_at && when(told.expires_at)],
        ["Merged into", merged],
        [
          "Group",
          told.aggregate && `${told.aggregate.count} in one message${told.aggregate.closed ? "" : ", and open still"}`,
        ],
      ]),
    ),
    card(
      "What the gates decided",
      told.decisions.length === 0 ? h("p", { class: "soft" }, "It is not planned yet.") : decisions(told.decisions),
    ),
    told.tasks.length === 0
      ? card(
          "Messages",
          empty(
            "No message was made",
            "The decisions above say why. If it was accepted a moment ago, it is planned next.",
          ),
        )
      : told.tasks.map((task) =>
          card(
            `To ${task.to} by ${task.channel}`,
            facts([
              ["Status", badge(task.status)],
              ["Task", h("code", {}, task.id)],
              ["Provider", task.provider],
              ["Attempts", task.attempt],
              ["Its id there", task.provider_message_id && h("code", {}, task.provider_message_id)],
              ["Due", task.due_at && when(task.due_at)],
              ["Variant", task.variant],
            ]),
            timeline(task.events),
          ),
        ),
  ];
}

/** The verdicts, in their order. */
export function decisions(list) {
  const table = new Table({
    caption: "Verdicts of the gates, in their order",
    columns: [
      { label: "Gate", value: (row) => stepName(row.step) },
      { label: "Channel", value: (row) => row.channel ?? "" },
      { label: "Verdict", value: (row) => badge(...(OUTCOMES[row.outcome] ?? [row.outcome])) },
      {
        label: "In words",
        wide: true,
        value: (row) => [
          verdict(row),
          row.duplicate_of && [" See ", link(`/notifications/${segment(row.duplicate_of)}`, row.duplicate_of)],
          row.merged_into && [" See ", link(`/notifications/${segment(row.merged_into)}`, row.merged_into)],
        ],
      },
    ],
  });
  table.set(list);
  return table.element;
}

function timeline(events) {
  return h(
    "ol",
    { class: "timeline" },
    events.map((event) =>
      h(
        "li",
        { class: `event event-${event.type}` },
        h("p", {}, eventInWords(event)),
        h(
          "p",
          { class: "soft small" },
          when(event.at),
          event.provider_message_id && [" · ", h("code", {}, event.provider_message_id)],
        ),
      ),
    ),
  );
}

/** What was rendered, if a sandbox has it. */
async function messages(id, ground, context) {
  if (!may("admin")) {
    fill(ground, card("The rendered message", h("p", { class: "soft" }, whyNot("admin"))));
    return;
  }
  try {
    const page = await get("/v1/sandbox/messages", { notification_id: id, limit: 20 }, context.signal);
    if (page.data.length === 0) {
      fill(
        ground,
        card(
          "The rendered message",
          h(
            "p",
            { class: "soft" },
            "No sandbox has it: it was sent by a real provider, not sent yet, or the sandbox was restarted since.",
          ),
        ),
      );
      return;
    }
    fill(
      ground,
      page.data.map((sent) =>
        card(
          `The rendered message, by ${sent.channel}`,
          enclosures(sent),
          message(sent.message, { channel: sent.channel, to: sent.to }),
        ),
      ),
    );
  } catch (error) {
    if (!isAbort(error)) fill(ground, card("The rendered message", h("p", { class: "soft" }, inWords(error).detail)));
  }
}
