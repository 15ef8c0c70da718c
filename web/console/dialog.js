// Questions, messages that pass, failures in words, and progress.

import { inWords, isAbort } from "./api.js";
import { announce, fill, h, uniqueId } from "./dom.js";
import { may, whyNot } from "./session.js";

/** Something to press. `needs`: a scope; a key without it finds the button off, with the reason. */
export function button(label, onpress, { needs, kind = "", title, type = "button" } = {}) {
  const off = needs !== undefined && !may(needs);
  const reason = off ? whyNot(needs) : title;
  const element = h("button", { type, "class": kind, "title": reason, "aria-disabled": off ? "true" : null }, label);
  if (off) element.append(h("span", { class: "visually-hidden" }, ` (off: ${reason})`));
  element.addEventListener("click", async (event) => {
    if (off) {
      event.preventDefault();
      toast(reason, "warn");
    } else if (onpress) {
      await held(element, () => onpress(event));
    }
  });
  return element;
}

/** Does it once at a time, and says what went wrong. */
async function held(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    if (!isAbort(error)) {
      const { title, detail, lines } = inWords(error);
      toast([title, detail, ...lines].filter(Boolean).join(" — "), "bad");
    }
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/** A message that passes. Bad ones stay until they are closed. */
export function toast(text, tone = "good") {
  const close = h(
    "button",
    { "type": "button", "class": "plain", "aria-label": "Close this message", "onclick": () => note.remove() },
    "✕",
  );
  const note = h(
    "div",
    { class: `notice toast ${tone}`, role: tone === "bad" ? "alert" : "status" },
    h("p", {}, text),
    close,
  );
  document.getElementById("toasts").append(note);
  if (tone !== "bad") setTimeout(() => note.remove(), 6000);
}

/** A failure, where the page would have been. */
export function failure(error, again) {
  const { title, detail, lines } = inWords(error);
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, h("strong", {}, title)),
    detail && h("p", {}, detail),
    lines.length > 0 &&
      h(
        "ul",
        { class: "plain-list" },
        lines.map((line) => h("li", {}, line)),
      ),
    again && h("p", { class: "actions" }, h("button", { type: "button", onclick: again }, "Try again")),
  );
}

/** Opens a dialog; `build(close)` gives its content. Answers what it was closed with. */
export function open(title, build) {
  return new Promise((resolve) => {
    const id = uniqueId("dialog");
    let answer;
    const dialog = h("dialog", { "aria-labelledby": id });
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    fill(dialog, h("h2", { id }, title), build(close));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks before something that cannot be taken back, or that many people would notice. */
export function ask({ title, text, action, danger = true, input }) {
  return open(title, (close) => {
    const typed = input && h("input", { ...input.properties, id: uniqueId("ask") });
    const submit = (event) => {
      event.preventDefault();
      close(input ? { text: typed.value } : true);
    };
    const no = h("button", { type: "button", onclick: () => close(undefined) }, "Leave it");
    // Where nothing is to be filled in, Enter does not do what is dangerous.
    if (!input) no.setAttribute("autofocus", "");
    return h(
      "form",
      { class: "stack", onsubmit: submit },
      h("p", {}, text),
      input && h("div", { class: "field" }, h("label", { for: typed.id }, input.label), typed),
      h(
        "div",
        { class: "actions end" },
        no,
        h("button", { type: "submit", class: danger ? "primary danger" : "primary" }, action),
      ),
    );
  });
}

/** A bar that says how far something is. `value` of `null`: it is not known yet. */
export function progressBar(label, value, max = 100) {
  const bar = h("progress", { max, "aria-label": label });
  if (value !== null) bar.value = value;
  return bar;
}

/** Something long, with its progress: `work(step)` calls `step(done, of, words)`. */
export async function withProgress(title, work) {
  let stopped = false;
  const words = h("p", { role: "status" }, "Beginning…");
  const bar = progressBar(title, null);
  const stop = h("button", { type: "button" }, "Stop");
  let done;
  const finished = open(title, (close) => {
    done = close;
    stop.onclick = () => {
      stopped = true;
      stop.disabled = true;
      words.textContent = "Stopping after what is under way…";
    };
    return h("div", { class: "stack" }, bar, words, h("div", { class: "actions end" }, stop));
  });
  try {
    return await work((value, of, text) => {
      if (of) {
        bar.max = of;
        bar.value = value;
      }
      words.textContent = text;
      return !stopped;
    });
  } finally {
    done();
    await finished;
    announce(`${title}: over.`);
  }
}
