// The engine's words in people's words: states, gates, reasons, events, times and amounts.

import { h } from "./dom.js";

const TONES = {
  sent: "good",
  delivered: "good",
  completed: "good",
  active: "good",
  begun: "good",
  made: "good",
  requeued: "good",
  closed: "good",
  pending: "accent",
  sending: "accent",
  accepted: "accent",
  scheduled: "accent",
  running: "accent",
  counting: "accent",
  canary: "accent",
  finishing: "accent",
  starting: "accent",
  open: "bad",
  probing: "warn",
  merged: "",
  skipped: "warn",
  cancelled: "warn",
  expired: "warn",
  paused: "warn",
  recalled: "warn",
  inactive: "warn",
  off: "warn",
  failed: "bad",
  unknown: "bad",
  stopped: "bad",
  broken: "bad",
};

/** A word of state as a badge. */
export function badge(word, tone = TONES[word] ?? "") {
  return h("span", { class: `badge ${tone}` }, String(word).replaceAll("_", " "));
}

const STEPS = {
  cancelled: ["Cancelled?", "Nobody cancelled it before it was planned."],
  expiry: ["Still in time?", "It was planned before it expired."],
  idempotency: ["Handed in twice?", "Its retry key was not used before."],
  brakes: ["Stopped by hand?", "No brake stops it."],
  dedup: ["A duplicate?", "Nothing with its business key came within the window."],
  aggregation: ["Merged with others?", "It stands for itself, or leads its group."],
  erased: ["User erased?", "The user was not erased after it was accepted."],
  experiment: ["Held back by the experiment?", "The user gets a text."],
  fatigue: ["Reminded often enough?", "The user may get one more of this kind."],
  caps: ["Enough for today?", "The user is below the daily cap."],
  budget: ["Within the budget?", "The category has money left for today."],
  routing: ["Channel", "This channel was chosen."],
  consent: ["Wanted?", "The user has not switched it off."],
  address: ["Address known?", "There is an address and a provider."],
  suppression: ["Address suppressed?", "The address is not suppressed."],
  quiet_hours: ["Quiet hours?", "It is not in the user's quiet hours."],
  holidays: ["Holiday?", "It is not held for a holiday."],
  send_time: ["When?", "It may go when its time has come."],
};

const REASONS = {
  duplicate: "it says the same as one accepted before",
  expired: "it would have come after it expired",
  cancelled: "it was cancelled",
  no_address: "there is no address for the channel",
  no_provider: "no provider is configured for the channel",
  delivered_elsewhere: "a channel before it in the order took it",
  no_consent: "the user does not want this category on this channel",
  suppressed: "nothing is sent to this address, whoever asks",
  fatigue: "the user got as many of this kind as they may",
  daily_cap: "the user got enough for the day",
  erased: "the user was erased after it was accepted",
  budget: "the category has cost as much as it may in a day",
  held_back: "the experiment holds this user back",
};

/** A reason, in words; an unknown one as it is. */
export const reason = (word) => REASONS[word] ?? String(word ?? "").replaceAll("_", " ");
export const stepName = (step) => STEPS[step]?.[0] ?? step.replaceAll("_", " ");

/** A gate's verdict as a sentence. */
export function verdict(decision) {
  switch (decision.outcome) {
    case "pass":
      return STEPS[decision.step]?.[1] ?? "It passed.";
    case "skip":
      return `Not sent${decision.channel ? ` on ${decision.channel}` : ""}: ${reason(decision.reason)}.`;
    case "hold":
      return `Held until ${time(decision.until)}.`;
    case "merge":
      return "Told by the message of another notification.";
    default:
      return decision.outcome;
  }
}

export const OUTCOMES = {
  pass: ["passed", "good"],
  skip: ["skipped", "warn"],
  hold: ["held", "accent"],
  merge: ["merged", "accent"],
};

/** An event of a task as a sentence. */
export function eventInWords(event) {
  const by = event.provider ? ` by ${event.provider}` : "";
  const why = event.reason ? `: ${reason(event.reason)}` : "";
  const sentences = {
    accepted: `Accepted${event.channel ? ` for ${event.channel}` : ""}`,
    merged: "Merged into another's message",
    scheduled: `Waits until ${event.due_at ? time(event.due_at) : "its time"}${why}`,
    sent: `Taken${by}`,
    delivered: "Delivered to the device or mailbox",
    opened: "Opened",
    clicked: "A link was clicked",
    bounced: `Bounced${why}`,
    complained: "Reported as spam",
    unsubscribed: "The reader unsubscribed",
    read: "Read",
    failed: `Failed${why}`,
    skipped: `Skipped${why}`,
    cancelled: "Cancelled",
    expired: "Expired before it could be sent",
    unknown: `In doubt${by}: no answer came`,
  };
  const attempt = event.attempt > 1 ? ` (attempt ${event.attempt})` : "";
  return `${sentences[event.type] ?? `${event.type.replaceAll("_", " ")}${why}`}${attempt}`;
}

const moment = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const number = new Intl.NumberFormat();
const small = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** A time as people here write it, as text. */
export const time = (text) => (text ? moment.format(new Date(text)) : "");

/** A time as an element, exact for machines. */
export function when(text) {
  return text ? h("time", { datetime: text, title: text }, time(text)) : h("span", { class: "soft" }, "—");
}

export const count = (value) => number.format(value ?? 0);
export const short = (value) => (value >= 100 ? number.format(Math.round(value)) : small.format(value));

/** Seconds as people say them. */
export function lasts(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "—";
  if (seconds < 0.001) return seconds === 0 ? "0 ms" : "< 1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${small.format(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${small.format(seconds / 3600)} h`;
  return `${small.format(seconds / 86400)} days`;
}

/** Bytes as people say them. */
export const bytes = (value) =>
  value < 1024
    ? `${value} B`
    : value < 1 << 20
      ? `${small.format(value / 1024)} KiB`
      : `${small.format(value / (1 << 20))} MiB`;
