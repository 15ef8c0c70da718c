// What was sent and what came of it: by day as lines, by what is asked for as a table; and whether variants differ.

import { call, get } from "./api.js";
import { Chart } from "./chart.js";
import { button, failure, toast } from "./dialog.js";
import { card, empty, fill, h, pageHead } from "./dom.js";
import { CHANNELS, field, form, select, text } from "./form.js";
import { may, whyNot } from "./session.js";
import { Table } from "./table.js";
import { count, time } from "./words.js";

const GROUPS = [
  ["channel", "Channel"],
  ["template", "Template"],
  ["variant", "Template and variant"],
  ["category", "Category"],
  ["provider", "Provider"],
  ["locale", "Language"],
  ["campaign", "Campaign"],
  ["day", "Day"],
  ["day,channel", "Day and channel"],
  ["hour", "Hour"],
];
const RANGES = [
  ["7", "The last 7 days"],
  ["30", "The last 30 days"],
  ["90", "The last 90 days"],
  ["365", "The last year"],
  ["", "From and to…"],
];
const LINES = ["sent", "delivered", "opened", "clicked"];
const COUNTS = [
  ["sent", "Sent"],
  ["delivered", "Delivered"],
  ["opened", "Opened"],
  ["clicked", "Clicked"],
  ["read", "Read"],
  ["bounced", "Bounced"],
  ["complained", "Complained"],
  ["unsubscribed", "Unsubscribed"],
  ["converted", "Converted"],
  ["failed", "Failed"],
];
const RATES = [
  ["delivery_rate", "Delivery rate"],
  ["open_rate", "Open rate"],
  ["click_rate", "Click rate"],
  ["bounce_rate", "Bounce rate"],
  ["conversion_rate", "Conversion rate"],
];
const METRICS = [
  ["opened", "Opened"],
  ["clicked", "Clicked"],
  ["converted", "Converted"],
];
const DAY_MS = 86_400_000;

const day = (at) => new Date(at).toISOString().slice(0, 10);
const percent = (rate) => (rate === null || rate === undefined ? "—" : `${(rate * 100).toFixed(1)} %`);

export async function show(ground, context) {
  const head = pageHead("Analytics", "What was sent and what came of it, in days of UTC.");
  if (!may("read")) {
    fill(ground, head, h("p", { class: "notice warn" }, whyNot("read")));
    return;
  }
  const range = select(RANGES, "30");
  const [start, end] = [h("input", { type: "date" }), h("input", { type: "date" })];
  const group = select(GROUPS, "channel");
  const channel = select([["", "All"], ...CHANNELS], "");
  const template = text();
  const dates = () => {
    if (range.value === "") return { start_date: start.value, end_date: end.value };
    return { start_date: day(Date.now() - (Number(range.value) - 1) * DAY_MS), end_date: day(Date.now()) };
  };
  const query = (groups) => ({
    ...dates(),
    group_by: groups,
    channel: channel.value,
    template: template.value.trim(),
  });

  const [state, table, experiments] = [h("div", {}), h("div", {}), h("div", {})];
  const chart = new Chart({
    title: "By day",
    unit: "messages",
    format: (value) => count(Math.round(value)),
    signal: context.signal,
    times: "days",
  });
  const load = async () => {
    try {
      const [lines, days] = await Promise.all([
        get("/v1/analytics", query(group.value), context.signal),
        get("/v1/analytics", query("day"), context.signal),
      ]);
      fill(state, asOf(lines));
      draw(chart, days);
      fill(table, lines.data.length > 0 ? tableOf(lines) : nothing());
    } catch (error) {
      if (!context.signal.aborted) fill(state, failure(error, load));
    }
  };
  const download = async () => {
    const csv = await call("GET", "/v1/analytics", { query: { ...query(group.value), format: "csv" }, as: "text" });
    const address = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    const { start_date: from, end_date: to } = dates();
    h("a", { href: address, download: `analytics-${from}-${to}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    toast("The file is in your downloads.");
  };
  const own = [field("From", start), field("To", end)];
  const paintOwn = () => own.forEach((one) => (one.hidden = range.value !== ""));
  for (const control of [range, group, channel, template, start, end])
    control.addEventListener("change", () => {
      paintOwn();
      if (range.value !== "" || (start.value && end.value)) load();
    });
  paintOwn();
  fill(
    ground,
    head,
    card(
      "What to look at",
      form(
        [field("Days", range), ...own, field("Divided by", group), field("Channel", channel), field("Template", template)],
        [h("button", { type: "submit", class: "primary" }, "Show"), button("Download as CSV", download)],
        () => load(),
      ),
    ),
    state,
    chart.element,
    card("Counts and rates", table),
    card("Experiments", experiments),
  );
  experimentsOf(experiments, context, dates);
  await load();
}

function asOf(answer) {
  const at = answer.as_of ? `Everything until ${time(answer.as_of)} is counted, and most of what came since.` : null;
  return h("p", { class: "soft small" }, at ?? "Counting has not begun yet.");
}

function nothing() {
  return empty(
    "Nothing was sent on these days",
    "Choose other days or take a filter away. What is sent now shows here within some seconds.",
    h("a", { href: "#/send" }, "Send a test"),
  );
}

/** Every day of the range, those without messages as well. */
function draw(chart, answer) {
  const byDay = new Map(answer.data.map((line) => [line.day, line]));
  const days = [];
  for (let at = Date.parse(answer.start_date); at <= Date.parse(answer.end_date); at += DAY_MS) days.push(at);
  chart.show(
    days.map((at) => at / 1000),
    LINES.map((name) => [name, days.map((at) => byDay.get(day(at))?.[name] ?? 0)]),
  );
}

function tableOf(answer) {
  const groups = answer.group_by.split(",").flatMap((name) => (name === "variant" ? ["template", "variant"] : [name]));
  const said = (row, name) => row[name] ?? (row.isTotal ? "" : "none");
  const table = new Table({
    caption: "Counts and rates",
    columns: [
      ...groups.map((name, index) => ({
        label: name.charAt(0).toUpperCase() + name.slice(1),
        value: (row) => (row.isTotal && index === 0 ? h("b", {}, "All") : said(row, name)),
        sort: (row) => row[name] ?? "",
      })),
      ...COUNTS.map(([name, label]) => ({
        label,
        number: true,
        value: (row) => count(row[name]),
        sort: (row) => row[name],
      })),
      { label: "Cost", number: true, value: (row) => String(row.cost), sort: (row) => row.cost },
      ...RATES.map(([name, label]) => ({
        label,
        number: true,
        value: (row) => percent(row.rates[name]),
        sort: (row) => row.rates[name] ?? -1,
      })),
    ],
  });
  table.set([{ ...answer.totals, isTotal: true }, ...answer.data]);
  return table.element;
}

function experimentsOf(ground, context, dates) {
  const [template, metric, result] = [text(), select(METRICS, "opened"), h("div", { "aria-live": "polite" })];
  const compare = async () => {
    const code = template.value.trim();
    if (code === "") {
      template.focus();
      fill(result, h("p", { class: "notice warn" }, "Say the code of a template whose variants are to be compared."));
      return;
    }
    try {
      const query = { ...dates(), template: code, metric: metric.value };
      fill(result, experiment(await get("/v1/analytics/experiments", query, context.signal)));
    } catch (error) {
      if (!context.signal.aborted) fill(result, failure(error, compare));
    }
  };
  fill(
    ground,
    form(
      [field("Template of the experiment", template, "Its code; the days are those above."), field("What counts", metric)],
      [h("button", { type: "submit" }, "Compare")],
      () => compare(),
    ),
    result,
  );
}

function experiment({ variants, comparisons }) {
  if (variants.length === 0)
    return empty("No variants were sent on these days", "Only messages of templates with an experiment have one.");
  const between = (interval) => (interval ? `${percent(interval.low)} to ${percent(interval.high)}` : "—");
  const table = new Table({
    caption: "Variants",
    columns: [
      { label: "Variant", value: (row) => row.variant, sort: (row) => row.variant },
      { label: "Sent", number: true, value: (row) => count(row.n), sort: (row) => row.n },
      { label: "Did it", number: true, value: (row) => count(row.successes), sort: (row) => row.successes },
      { label: "Rate", number: true, value: (row) => percent(row.rate), sort: (row) => row.rate ?? -1 },
      { label: "95 of 100 times within", number: true, value: (row) => between(row.interval) },
    ],
  });
  table.set(variants);
  return [
    table.element,
    ...comparisons.map((one) => h("p", { class: `notice ${one.differs ? "good" : ""}` }, one.statement)),
  ];
}
