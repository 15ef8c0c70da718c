// Campaigns: how far they are, and stopping them.

import { call, get, segment } from "./api.js";
import { ask, button, progressBar, toast } from "./dialog.js";
import { card, empty, facts, fill, h, json, link, pageHead } from "./dom.js";
import { select } from "./form.js";
import { PagedList, Table } from "./table.js";
import { badge, count, lasts, reason, when } from "./words.js";

const OVER = ["completed", "cancelled", "stopped"];

export async function show(ground, context) {
  if (context.rest[0]) {
    await one(ground, context, context.rest[0]);
    return;
  }
  const kind = select(
    [
      ["", "All"],
      ["campaign", "Asked for"],
      ["fan_out", "Events about a subject"],
      ["schedule", "Schedules"],
    ],
    context.query.get("kind") ?? "campaign",
    { "aria-label": "Kind", "onchange": () => (location.hash = `#/campaigns?kind=${kind.value}`) },
  );
  const list = new PagedList({
    path: "/v1/campaigns",
    query: { kind: context.query.get("kind") ?? "campaign" },
    context,
    none: () =>
      empty(
        "No campaigns",
        "A campaign tells one message to many people: POST /v1/campaigns with a list, a subject or a segment begins one. Schedules and events about a subject begin some by themselves.",
        h("a", { href: "/docs" }, "The API"),
      ),
    table: new Table({
      caption: "Campaigns, newest first",
      columns: [
        {
          label: "Campaign",
          wide: true,
          value: (row) => link(`/campaigns/${segment(row.id)}`, row.name ?? row.id),
          sort: (row) => row.name ?? row.id,
        },
        { label: "Status", value: (row) => badge(row.status), sort: (row) => row.status },
        {
          label: "Progress",
          value: (row) =>
            h(
              "div",
              { class: "progress" },
              progressBar(`Progress of ${row.name ?? row.id}`, row.progress),
              h("span", {}, `${row.progress} %`),
            ),
          sort: (row) => row.progress,
        },
        {
          label: "Members",
          number: true,
          value: (row) => (row.total === null ? "…" : count(row.total)),
          sort: (row) => row.total ?? 0,
        },
        { label: "Succeeded", number: true, value: (row) => count(row.succeeded), sort: (row) => row.succeeded },
        { label: "Failed", number: true, value: (row) => count(row.failed), sort: (row) => row.failed },
        { label: "Skipped", number: true, value: (row) => count(row.skipped), sort: (row) => row.skipped },
        { label: "Begun", value: (row) => when(row.created_at), sort: (row) => row.created_at },
      ],
    }),
  });
  fill(
    ground,
    pageHead("Campaigns", "One message to many people.", h("label", { class: "inline" }, "Kind ", kind)),
    card("Campaigns", list.element),
  );
  await list.reload();
  // Only what is on the first page moves, and only while nobody has asked for more.
  context.every(2000, async () => {
    if (list.rows.length > list.limit || !list.rows.some((row) => !OVER.includes(row.status))) return;
    await list.reload();
  });
}

async function one(ground, context, id) {
  const body = h("div", { class: "stack" });
  const path = `/v1/campaigns/${segment(id)}`;
  const act = (action, question, done) => async () => {
    if (question && !(await ask(question))) return;
    await call("POST", `${path}/${action}`, { once: true });
    toast(done);
    await load();
  };
  const buttons = {
    pause: button(
      "Pause",
      act(
        "pause",
        {
          title: "Pause this campaign?",
          text: "Nothing more is handed on, and what was not sent is held. It goes on where it was when you resume it.",
          action: "Pause",
          danger: false,
        },
        "Paused.",
      ),
      { needs: "send" },
    ),
    resume: button(
      "Resume",
      act(
        "resume",
        {
          title: "Let this campaign go on?",
          text: "It goes on where it was, and what was held is sent.",
          action: "Resume",
          danger: false,
        },
        "It goes on.",
      ),
      { needs: "send", kind: "primary" },
    ),
    cancel: button(
      "Cancel",
      act(
        "cancel",
        {
          title: "End this campaign?",
          text: "Nothing more is handed on, and what was not sent is never sent. This cannot be taken back.",
          action: "End it",
        },
        "Ended.",
      ),
      { needs: "send", kind: "danger" },
    ),
  };
  const head = pageHead("Campaign", h("code", {}, id), link("/campaigns", "All campaigns"), Object.values(buttons));
  fill(ground, head, body);
  let over = false;
  let bar;
  let last;
  const load = async () => {
    const campaign = await get(path, {}, context.signal);
    over = OVER.includes(campaign.status);
    buttons.pause.hidden = over || campaign.status === "paused";
    buttons.resume.hidden = campaign.status !== "paused";
    buttons.cancel.hidden = over;
    const now = JSON.stringify(campaign);
    if (now === last) return;
    last = now;
    bar = progressBar(`Progress of ${campaign.name ?? id}`, campaign.total === null ? null : campaign.progress);
    fill(body, tell(campaign, bar, path));
  };
  await load();
  context.every(1000, async () => {
    if (!over) await load();
  });
}

function tell(campaign, bar, path) {
  const missed = campaign.failed + campaign.skipped;
  return [
    campaign.reason && h("p", { class: "notice bad" }, `It stopped itself: ${campaign.reason}`),
    card(
      campaign.name ?? "How far it is",
      h("div", { class: "progress large" }, bar, h("span", {}, `${campaign.progress} %`)),
      h(
        "p",
        { role: "status" },
        badge(campaign.status),
        " ",
        campaign.total === null
          ? `${count(campaign.counted)} counted so far`
          : `${count(campaign.processed)} of ${count(campaign.total)} are over`,
        campaign.eta_seconds !== null &&
          campaign.eta_seconds !== undefined &&
          `, about ${lasts(campaign.eta_seconds)} to go`,
      ),
      facts([
        ["Succeeded", count(campaign.succeeded)],
        ["Failed", count(campaign.failed)],
        ["Skipped", count(campaign.skipped)],
        ["Handed on", count(campaign.handed_on)],
        ["Begun", when(campaign.created_at)],
        ["Starts", when(campaign.starts_at)],
        ["Ended", campaign.ended_at && when(campaign.ended_at)],
        ["Kind", campaign.kind.replaceAll("_", " ")],
        ["Template", campaign.template && link(`/template/${segment(campaign.template)}`, campaign.template)],
      ]),
      Object.keys(campaign.skipped_by ?? {}).length > 0 && [
        h("h3", {}, "Why members were skipped"),
        h(
          "ul",
          { class: "plain-list" },
          Object.entries(campaign.skipped_by).map(([word, members]) =>
            h("li", {}, `${count(members)}: ${reason(word)}`),
          ),
        ),
      ],
      missed > 0 &&
        h(
          "p",
          { class: "actions" },
          button("Download who got nothing (CSV)", () => download(`${path}/missed`, "missed.csv")),
        ),
    ),
    card("Its audience", json(campaign.audience)),
  ];
}

async function download(path, name) {
  const csv = await call("GET", path, { query: { format: "csv" }, as: "text", headers: { accept: "text/csv" } });
  const address = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
