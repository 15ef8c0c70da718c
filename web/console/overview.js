// Live throughput, latency and queues, from the metrics page of this node.

import { get } from "./api.js";
import { Chart } from "./chart.js";
import { fill, h, link, pageHead } from "./dom.js";
import { CHANNELS, PRIORITIES } from "./form.js";
import { live, sum } from "./live.js";
import { count, lasts, short } from "./words.js";

const rate = (value) => `${short(value)}/s`;

export async function show(ground, context) {
  const { signal } = context;
  const tiles = h("div", { class: "tiles" });
  const trouble = h("div", {});
  const charts = {
    sent: new Chart({ title: "Sent", unit: "messages a second, by channel", format: short, signal }),
    accepted: new Chart({ title: "Accepted", unit: "notifications a second, by priority", format: short, signal }),
    latency: new Chart({
      title: "Latency",
      unit: "from accepted or due to the provider",
      format: lasts,
      least: 0.01,
      signal,
    }),
    latencies: new Chart({ title: "Latency by channel", unit: "99 % within", format: lasts, least: 0.01, signal }),
    lanesLate: new Chart({ title: "Latency by priority", unit: "99 % within", format: lasts, least: 0.01, signal }),
    failed: new Chart({ title: "Failures", unit: "attempts a second", format: short, signal }),
    depth: new Chart({
      title: "Queue by channel",
      unit: "tasks ready that wait for a slot or a rate",
      format: short,
      signal,
    }),
    lanes: new Chart({
      title: "Queue by priority",
      unit: "tasks ready that wait for a slot or a rate",
      format: short,
      signal,
    }),
  };
  fill(
    ground,
    pageHead("Overview", "This node, the last ten minutes, as long as this tab is open."),
    trouble,
    tiles,
    h(
      "div",
      { class: "charts" },
      Object.values(charts).map((chart) => chart.element),
    ),
  );
  // uPlot is loaded beside the modules.
  if (!globalThis.uPlot) await new Promise((done) => addEventListener("load", done, { once: true }));
  live.follow(() => paint(tiles, charts), signal);
  const health = async () => fill(trouble, await readiness(signal));
  context.every(5000, health);
  await health();
}

function paint(tiles, charts) {
  const { latest, history, failure } = live;
  if (failure && !latest) {
    fill(
      tiles,
      h(
        "p",
        { class: "notice bad", role: "alert" },
        `The metrics cannot be read: ${failure.message}. Is the server running?`,
      ),
    );
    return;
  }
  if (!latest) return;
  const now = history.at(-1);
  const total = (map) => [...(map?.values() ?? [])].reduce((a, b) => a + b, 0);
  const { series } = latest;
  const open = sum(series, "fanfare_circuit_open");
  const tile = (name, value, { address, tone = "" } = {}) =>
    h(
      "div",
      { class: `tile ${tone}` },
      h("p", { class: "soft small" }, address ? link(address, name) : name),
      h("p", { class: "tile-value" }, value),
    );
  fill(
    tiles,
    tile("Sent", now ? rate(total(now.sent)) : "…"),
    tile("Accepted", now ? rate(total(now.accepted)) : "…"),
    tile("Latency, P99", now ? lasts(now.p99) : "…"),
    tile("In the queue", count(sum(series, "fanfare_queue_depth"))),
    tile("Under way", count(sum(series, "fanfare_in_flight"))),
    tile("Scheduled", count(sum(series, "fanfare_scheduled_tasks"))),
    tile("Dead letters", count(sum(series, "fanfare_dead_letters_total")), {
      address: "/dead-letters",
      tone: sum(series, "fanfare_dead_letters_total") > 0 ? "warn" : "",
    }),
    tile("Breakers open", count(open), { address: "/providers", tone: open > 0 ? "bad" : "" }),
    tile("Unaccounted", count(sum(series, "fanfare_unaccounted")), { address: "/accounting" }),
  );
  if (history.length === 0) return;
  const times = history.map(({ at }) => at);
  const lines = (field, names, otherwise = 0) => {
    const there = new Set(history.flatMap((one) => [...one[field].keys()]));
    return names
      .filter((name) => there.has(name))
      .map((name) => [name, history.map((one) => one[field].get(name) ?? otherwise)]);
  };
  charts.sent.show(times, lines("sent", CHANNELS));
  charts.accepted.show(times, lines("accepted", PRIORITIES));
  charts.latency.show(times, [
    ["half within", history.map(({ p50 }) => p50)],
    ["99 % within", history.map(({ p99 }) => p99)],
  ]);
  charts.latencies.show(times, lines("p99ByChannel", CHANNELS, null));
  charts.lanesLate.show(times, lines("p99ByPriority", PRIORITIES, null));
  charts.failed.show(times, lines("failed", ["retried", "failed"]));
  charts.depth.show(times, lines("depth", CHANNELS));
  charts.lanes.show(times, lines("depthByPriority", PRIORITIES));
}

async function readiness(signal) {
  try {
    const ready = await get("/readyz", {}, signal);
    return ready.reasons?.length ? reasons(ready) : [];
  } catch (error) {
    return error.problem?.reasons ? reasons(error.problem) : [];
  }
}

function reasons({ status, reasons }) {
  const words = status === "degraded" ? "This node works with less than it should have." : "This node is not ready.";
  return h(
    "div",
    { class: `notice ${status === "degraded" ? "warn" : "bad"}`, role: "alert" },
    h("p", {}, h("strong", {}, words)),
    h(
      "ul",
      { class: "plain-list" },
      reasons.map(({ condition, reason }) => h("li", {}, `${condition}: ${reason}`)),
    ),
  );
}
