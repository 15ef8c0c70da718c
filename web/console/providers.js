// The providers, as the metrics of this node show them.

import { card, empty, fill, h, link, pageHead } from "./dom.js";
import { live, sums } from "./live.js";
import { Table } from "./table.js";
import { badge, count, lasts, short } from "./words.js";

export function show(ground, { signal }) {
  const list = h("div", {});
  const channels = h("div", {});
  fill(
    ground,
    pageHead(
      "Providers",
      "Health, rate and breakers on this node, as its metrics say. To stop one by hand, set a brake.",
      link("/brakes", "Brakes"),
    ),
    card(
      "Providers",
      h(
        "p",
        { class: "soft small" },
        "Allowed rate: what refusals leave of the configured one. At once: sends that may be under way. Waited: for its rate, since the start. Credentials: until they end, where that is known.",
      ),
      list,
    ),
    card("Channels", h("p", { class: "soft small" }, "Sends under way and waiting, by channel."), channels),
  );
  const table = new Table({
    caption: "Providers",
    columns: [
      { label: "Provider", value: (row) => h("code", {}, row.name), sort: (row) => row.name },
      {
        label: "Breaker",
        value: (row) => (row.open ? badge("open", "bad") : badge("closed", "good")),
        sort: (row) => Number(row.open),
      },
      { label: "Channels", value: (row) => row.channels.join(", ") },
      { label: "Sent", number: true, value: (row) => `${short(row.sent)}/s`, sort: (row) => row.sent },
      { label: "Retried", number: true, value: (row) => `${short(row.retried)}/s`, sort: (row) => row.retried },
      { label: "Failed", number: true, value: (row) => `${short(row.failed)}/s`, sort: (row) => row.failed },
      { label: "Mean latency", number: true, value: (row) => lasts(row.latency), sort: (row) => row.latency ?? -1 },
      {
        label: "Allowed rate",
        number: true,
        value: (row) => (row.limit === Infinity ? "as configured" : `${short(row.limit)}/s`),
        sort: (row) => row.limit,
      },
      { label: "At once", number: true, value: (row) => count(row.slots), sort: (row) => row.slots },
      { label: "Waited", number: true, value: (row) => lasts(row.waited), sort: (row) => row.waited },
      {
        label: "Credentials",
        number: true,
        value: (row) =>
          row.credentials === undefined ? "—" : row.credentials < 0 ? badge("ended", "bad") : lasts(row.credentials),
        sort: (row) => row.credentials ?? Infinity,
      },
    ],
  });
  const lanes = new Table({
    caption: "Channels",
    columns: [
      { label: "Channel", value: (row) => row.channel, sort: (row) => row.channel },
      { label: "Under way", number: true, value: (row) => count(row.flying), sort: (row) => row.flying },
      { label: "Waiting", number: true, value: (row) => count(row.waiting), sort: (row) => row.waiting },
    ],
  });
  live.follow(() => {
    if (!live.latest) {
      fill(
        list,
        h(
          "p",
          { class: "notice bad", role: "alert" },
          `The metrics cannot be read: ${live.failure?.message ?? "no answer"}.`,
        ),
      );
      return;
    }
    const rows = providers();
    if (rows.length === 0)
      fill(
        list,
        empty(
          "This node sends nothing",
          "No provider is configured here, or it only takes requests. Add one under [[providers]] in the configuration, or ask an engine.",
        ),
      );
    else if (!list.contains(table.element)) fill(list, table.element);
    table.set(rows);
    if (!channels.contains(lanes.element)) fill(channels, lanes.element);
    lanes.set(byChannel());
  }, signal);
}

function providers() {
  const { series } = live.latest;
  const now = live.history.at(-1);
  const by = ({ provider }) => provider;
  const open = sums(series, "fanfare_circuit_open", by);
  const [spent, sends] = [
    sums(series, "fanfare_provider_latency_seconds_sum", by),
    sums(series, "fanfare_provider_latency_seconds_count", by),
  ];
  const slots = sums(series, "fanfare_provider_concurrency", by);
  const waited = sums(series, "fanfare_rate_limit_wait_seconds_sum", by);
  const credentials = sums(series, "fanfare_provider_credentials_seconds", by);
  return [...open.keys()]
    .map((name) => {
      const limits = (series.get("fanfare_provider_rate_limit") ?? []).filter(({ labels }) => labels.provider === name);
      const each = (outcome) => now?.byProvider.get(`${name} ${outcome}`) ?? 0;
      const count = sends.get(name) ?? 0;
      return {
        name,
        open: open.get(name) > 0,
        channels: [...new Set(limits.map(({ labels }) => labels.channel))].sort(),
        sent: each("sent"),
        retried: each("retried"),
        failed: each("failed"),
        latency: count > 0 ? spent.get(name) / count : null,
        limit: Math.min(Infinity, ...limits.map(({ value }) => value)),
        slots: slots.get(name) ?? 0,
        waited: waited.get(name) ?? 0,
        credentials: credentials.get(name),
      };
    })
    .sort((a, b) => Number(b.open) - Number(a.open) || a.name.localeCompare(b.name));
}

function byChannel() {
  const { series } = live.latest;
  const flying = sums(series, "fanfare_in_flight", ({ channel }) => channel);
  const waiting = sums(series, "fanfare_queue_depth", ({ channel }) => channel);
  return [...new Set([...flying.keys(), ...waiting.keys()])]
    .sort()
    .map((channel) => ({ channel, flying: flying.get(channel) ?? 0, waiting: waiting.get(channel) ?? 0 }));
}
