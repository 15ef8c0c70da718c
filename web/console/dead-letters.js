// What could not be delivered, and sending it again.

import { call, segment } from "./api.js";
import { ask, button, toast, withProgress } from "./dialog.js";
import { card, empty, fill, h, link, pageHead } from "./dom.js";
import { CHANNELS, select } from "./form.js";
import { PagedList, Table } from "./table.js";
import { count, when } from "./words.js";

/** Of one call: so that a long replay shows how far it is, and can be stopped. */
const STEP = 200;

export async function show(ground, context) {
  const kind = context.query.get("kind") === "record" ? "record" : "task";
  const chosen = new Set();
  const tally = h("span", {}, "none chosen");
  const some = button("Send the chosen again", () => replayChosen([...chosen], list), { needs: "admin" });
  const note = () => {
    tally.textContent = chosen.size > 0 ? `${chosen.size} chosen` : "none chosen";
    some.hidden = chosen.size === 0;
  };
  const box = (row) =>
    h("input", {
      "type": "checkbox",
      "aria-label": `Choose ${row.id}`,
      "checked": chosen.has(row.id),
      "onchange": (event) => {
        if (event.target.checked) chosen.add(row.id);
        else chosen.delete(row.id);
        note();
      },
    });
  const columns = [
    {
      label: "Notification",
      value: (row) => link(`/notifications/${segment(row.notification_id)}`, h("code", {}, row.notification_id)),
      sort: (row) => row.notification_id,
    },
    { label: "Given up", value: (row) => when(row.at), sort: (row) => row.at },
    { label: "Channel", value: (row) => row.channel ?? "—", sort: (row) => row.channel },
    { label: "Attempts", number: true, value: (row) => row.attempt ?? "—", sort: (row) => row.attempt ?? 0 },
    { label: "Why", wide: true, value: (row) => row.reason, sort: (row) => row.reason },
  ];
  const actions = [
    { label: "Choose", value: box },
    {
      label: "",
      value: (row) =>
        button("Send again", () => replayOne(row, list), {
          needs: "admin",
          title: "As a further attempt of the same task",
        }),
    },
  ];
  const list = new PagedList({
    path: "/v1/dead-letters",
    query: { kind },
    context,
    none: () =>
      kind === "task"
        ? empty(
            "No dead letters",
            "Every message was taken, or is still tried. What a provider refuses for good, or fails at too often, comes here.",
          )
        : empty("No unusable records", "Everything in the log could be read."),
    table: new Table({
      caption: "Dead letters, newest first",
      columns:
        kind === "task"
          ? [...columns, ...actions]
          : [
              { label: "Record", value: (row) => h("code", {}, row.id) },
              columns[1],
              { label: "Bytes", number: true, value: (row) => count(row.size), sort: (row) => row.size },
              columns[4],
            ],
    }),
  });
  const kinds = select(
    [
      ["task", "Messages"],
      ["record", "Unusable records (admin)"],
    ],
    kind,
    { "aria-label": "Kind", "onchange": () => (location.hash = `#/dead-letters?kind=${kinds.value}`) },
  );
  fill(
    ground,
    pageHead(
      "Dead letters",
      "What was given up. Sent again, it is a further attempt of the same task.",
      h("label", { class: "inline" }, "Kind ", kinds),
      button("Read again", () => list.reload()),
      kind === "task" && button("Send many again…", () => replayMany(list), { needs: "admin", kind: "danger" }),
    ),
    card(
      kind === "task" ? "Messages" : "Records",
      kind === "task" && h("p", { class: "actions" }, tally, some),
      list.element,
    ),
  );
  note();
  await list.reload();
}

async function replayOne(row, list) {
  const { status } = await call("POST", `/v1/dead-letters/${segment(row.id)}/replay`, { once: true });
  if (status === "requeued") toast(`Sent again: ${row.notification_id}.`);
  else toast("It cannot be sent again: it was already, or is not kept any more.", "warn");
  await list.reload();
}

async function replayChosen(ids, list) {
  if (
    !(await ask({
      title: `Send ${ids.length} again?`,
      text: "Each is a further attempt. Is what made them fail mended? Otherwise they fail again.",
      action: "Send again",
    }))
  )
    return;
  const done = { requeued: 0, not_replayable: 0 };
  await withProgress("Sending again", async (step) => {
    for (const [index, id] of ids.entries()) {
      const { status } = await call("POST", `/v1/dead-letters/${segment(id)}/replay`, { once: true });
      done[status] += 1;
      if (!step(index + 1, ids.length, `${index + 1} of ${ids.length}`)) break;
    }
  });
  said(done.requeued, done.not_replayable);
  await list.reload();
}

async function replayMany(list) {
  const channel = select([["", "all channels"], ...CHANNELS], "", { "aria-label": "Channel" });
  const answer = await ask({
    title: "Send all dead letters again?",
    text: h(
      "span",
      {},
      "Newest first, each as a further attempt, of ",
      channel,
      ". Those that fail again come back here.",
    ),
    action: "Send again",
  });
  if (!answer) return;
  // What fails again at once would come round for ever.
  const until = new Date().toISOString();
  let [sent, not] = [0, 0];
  await withProgress("Sending again", async (step) => {
    for (;;) {
      const body = { limit: STEP, until, channel: channel.value || undefined };
      const part = await call("POST", "/v1/dead-letters/replay", { body, once: true });
      sent += part.replayed;
      not += part.not_replayable;
      if (!step(0, 0, `${count(sent)} sent again${not > 0 ? `, ${count(not)} could not be` : ""}`)) break;
      if (!part.has_more || part.replayed + part.not_replayable === 0) break;
    }
  });
  said(sent, not);
  await list.reload();
}

function said(sent, not) {
  toast(`${count(sent)} sent again${not > 0 ? `; ${count(not)} could not be` : ""}.`, not > 0 ? "warn" : "good");
}
