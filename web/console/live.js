// What the metrics page says, read every two seconds while somebody is signed in, and kept for ten minutes as what the charts and
// tables need. Counters become rates, histograms the latencies between two readings.

const EVERY_MS = 2000;
const KEPT = 300;
const PARTS = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
/** The metrics that are looked at; the page has many more. */
const WANTED = [
  "fanfare_deliveries_total",
  "fanfare_requests_total",
  "fanfare_queue_depth",
  "fanfare_in_flight",
  "fanfare_delivery_latency_seconds_bucket",
  "fanfare_scheduled_tasks",
  "fanfare_backlog_tasks",
  "fanfare_unaccounted",
  "fanfare_oldest_pending_seconds",
  "fanfare_circuit_open",
  "fanfare_provider_",
  "fanfare_rate_limit_wait_seconds_sum",
  "fanfare_dead_letters_total",
  "fanfare_retries_total",
  "fanfare_actor_restarts_total",
  "fanfare_open_campaigns",
  "process_resident_memory_bytes",
];

/** The page as series: name → [{labels, value}]. */
export function parse(page) {
  const series = new Map();
  for (const line of page.split("\n")) {
    if (line.startsWith("#") || !WANTED.some((name) => line.startsWith(name))) continue;
    const parts = PARTS.exec(line);
    if (!parts) continue;
    const labels = Object.fromEntries(
      [...(parts[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value.replace(/\\(.)/g, "$1")]),
    );
    const value = /^\+?inf/i.test(parts[3]) ? Infinity : Number(parts[3]);
    if (!series.has(parts[1])) series.set(parts[1], []);
    series.get(parts[1]).push({ labels, value });
  }
  return series;
}

/** Sums of a metric by what `by` makes of the labels. */
export function sums(series, name, by, filter = () => true) {
  const sums = new Map();
  for (const { labels, value } of series.get(name) ?? []) {
    if (!filter(labels)) continue;
    const group = by(labels);
    sums.set(group, (sums.get(group) ?? 0) + value);
  }
  return sums;
}

export const sum = (series, name, filter) => [...sums(series, name, () => "", filter).values()][0] ?? 0;

/** The differences of two sums, never below nothing: a process that began anew counts from 0. */
function grown(after, before, seconds = 1) {
  return new Map([...after].map(([group, value]) => [group, Math.max(0, value - (before.get(group) ?? 0)) / seconds]));
}

/** The bound below which a part of the observations lie, from counts by upper bound; `null`: there were none. */
export function quantile(part, buckets) {
  const sorted = [...buckets]
    .map(([bound, value]) => [bound === "+Inf" ? Infinity : Number(bound), value])
    .sort((a, b) => a[0] - b[0]);
  const all = sorted.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  let [below, belowCount] = [0, 0];
  for (const [bound, value] of sorted) {
    if (value >= all * part) {
      if (bound === Infinity) return below;
      return below + (bound - below) * ((all * part - belowCount) / Math.max(value - belowCount, 1e-9));
    }
    [below, belowCount] = [bound, value];
  }
  return below;
}

/** Counts by upper bound, for each of what `by` makes of the labels. */
function bucketsBy(series, by) {
  const groups = new Map();
  for (const { labels, value } of series.get(BUCKETS) ?? []) {
    const group = by(labels);
    if (!groups.has(group)) groups.set(group, new Map());
    const buckets = groups.get(group);
    buckets.set(labels.le, (buckets.get(labels.le) ?? 0) + value);
  }
  return groups;
}

/** Within what 99 % were, in each group, between two readings. */
function p99s(after, before) {
  return new Map(
    [...after].map(([group, buckets]) => [group, quantile(0.99, grown(buckets, before.get(group) ?? new Map()))]),
  );
}

const BUCKETS = "fanfare_delivery_latency_seconds_bucket";
const SENT = ({ outcome }) => outcome === "sent";

class Live {
  constructor() {
    this.history = [];
    this.latest = null;
    this.failure = null;
    this.listeners = new Set();
  }

  begin() {
    if (this.timer) return;
    this.read();
    this.timer = setInterval(() => this.read(), EVERY_MS);
  }

  end() {
    clearInterval(this.timer);
    this.timer = null;
    this.history = [];
    this.latest = null;
  }

  /** Calls back at each reading, until the signal. */
  follow(listener, signal) {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
    if (this.latest) listener();
  }

  async read() {
    if (this.busy || document.hidden) return;
    this.busy = true;
    try {
      const response = await fetch("/metrics", {
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(10_000),
      });
      if (!response.ok) throw new Error(`/metrics answered ${response.status}`);
      this.take(parse(await response.text()), performance.now() / 1000, Date.now() / 1000);
      this.failure = null;
    } catch (error) {
      this.failure = error;
    } finally {
      this.busy = false;
    }
    for (const listener of this.listeners) listener();
  }

  take(series, now, clock) {
    const before = this.latest;
    this.latest = { series, now };
    const sent = sums(series, "fanfare_deliveries_total", ({ channel }) => channel, SENT);
    this.latest.sent = sent;
    this.latest.accepted = sums(
      series,
      "fanfare_requests_total",
      ({ priority }) => priority,
      ({ outcome }) => !["refused", "repeated", "conflict"].includes(outcome),
    );
    this.latest.failed = sums(
      series,
      "fanfare_deliveries_total",
      ({ outcome }) => outcome,
      ({ outcome }) => outcome === "failed" || outcome === "retried",
    );
    this.latest.byProvider = sums(
      series,
      "fanfare_deliveries_total",
      ({ provider, outcome }) => `${provider} ${outcome}`,
    );
    this.latest.buckets = sums(series, BUCKETS, ({ le }) => le);
    this.latest.byChannel = bucketsBy(series, ({ channel }) => channel);
    this.latest.byPriority = bucketsBy(series, ({ priority }) => priority);
    if (!before) return;
    const seconds = now - before.now;
    // After a pause (the tab was hidden) rates over it are means: true, and no more than that.
    const between = grown(this.latest.buckets, before.buckets);
    this.history.push({
      at: clock,
      sent: grown(sent, before.sent, seconds),
      accepted: grown(this.latest.accepted, before.accepted, seconds),
      failed: grown(this.latest.failed, before.failed, seconds),
      byProvider: grown(this.latest.byProvider, before.byProvider, seconds),
      p50: quantile(0.5, between),
      p99: quantile(0.99, between),
      p99ByChannel: p99s(this.latest.byChannel, before.byChannel),
      p99ByPriority: p99s(this.latest.byPriority, before.byPriority),
      depth: sums(series, "fanfare_queue_depth", ({ channel }) => channel),
      depthByPriority: sums(series, "fanfare_queue_depth", ({ priority }) => priority),
    });
    this.history.splice(0, this.history.length - KEPT);
  }
}

/** The one reader of this tab. */
export const live = new Live();
