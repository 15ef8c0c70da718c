// Calls of the API, and its problems (RFC 9457) in words.

import { key } from "./session.js";

/** The longest that an answer is waited for; the server's own limit is shorter. */
const WAIT_MAX_MS = 60_000;

/** What went wrong, as the server or the network says it. */
export class Failure extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.status = status;
    this.problem = problem;
  }

  /** The fields that are wrong: `{pointer, detail, line?, column?}`. */
  get errors() {
    return Array.isArray(this.problem.errors) ? this.problem.errors : [];
  }
}

/** Calls the API. `options`: `body` (made JSON), `query`, `headers`, `signal`, `once` (sent under a retry key), `as`. */
export async function call(method, path, options = {}) {
  const headers = {
    accept: "application/json",
    authorization: `Bearer ${options.key ?? key() ?? ""}`,
    ...options.headers,
  };
  if (options.body !== undefined) headers["content-type"] = options.type ?? "application/json";
  if (options.once) headers["idempotency-key"] = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  const query = new URLSearchParams(
    Object.entries(options.query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== ""),
  );
  const address = query.size > 0 ? `${path}?${query}` : path;
  const text = options.body === undefined || options.type ? options.body : JSON.stringify(options.body);
  const response = await answered(address, { method, headers, body: text }, options.signal);
  const answer = await response.text();
  if (response.ok) return options.as === "text" ? answer : (parsed(answer) ?? {});
  const failure = new Failure(response.status, parsed(answer) ?? { title: response.statusText });
  failure.retryAfter = response.headers.get("retry-after");
  if (response.status === 401 && !options.key)
    dispatchEvent(new CustomEvent("fanfare:signed-out", { detail: failure.message }));
  throw failure;
}

async function answered(address, request, signal) {
  const limit = AbortSignal.timeout(WAIT_MAX_MS);
  const signals = signal ? AbortSignal.any([signal, limit]) : limit;
  try {
    return await fetch(address, {
      ...request,
      signal: signals,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const late = error.name === "TimeoutError";
    throw new Failure(0, {
      title: late ? "The server took too long to answer" : "The server does not answer",
      detail: late
        ? "It may be busy: see the overview, and try again."
        : "Is it running, and is this machine online? Try again.",
    });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export const get = (path, query, signal) => call("GET", path, { query, signal });

/** One segment of an address. */
export const segment = (text) => encodeURIComponent(text);

/** Whether somebody left the page meanwhile. */
export const isAbort = (error) => error?.name === "AbortError";

/** A failure in words: a sentence, and one for each field that is wrong. */
export function inWords(error) {
  if (!(error instanceof Failure))
    return { title: "Something went wrong in this page", detail: String(error?.message ?? error), lines: [] };
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  const lines = error.errors.map(problemInWords);
  return {
    title: error.problem.title ?? "The server refused this",
    detail: `${sentence(error.problem.detail ?? "")}${wait}`,
    lines,
  };
}

/** What is wrong with one field, and where. */
export function problemInWords(problem) {
  const place = [problem.locale, problem.variant, problem.part].filter(Boolean).join(", ");
  const at = problem.line ? `line ${problem.line}${problem.column ? `, column ${problem.column}` : ""}` : "";
  const where = [place || problem.pointer, at].filter(Boolean).join(", ");
  return where ? `${where}: ${problem.detail}` : problem.detail;
}

function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) || first === "" ? first : `${first}.`;
}
