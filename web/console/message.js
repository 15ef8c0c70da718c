// A rendered message as its reader would see it. HTML is shown in a frame of an origin that is nobody's: see preview.js.

import { fill, h } from "./dom.js";
import { bytes, when } from "./words.js";

const HEIGHT_MAX = 1600;

/** HTML in its frame. */
export function htmlFrame(html, direction, title = "The message as it would look") {
  const frame = h("iframe", { class: "mail", sandbox: "allow-scripts", src: "/console/preview.html", title });
  const note = h("p", { class: "soft small", hidden: true });
  frame.addEventListener("load", () => frame.contentWindow.postMessage({ html, direction }, "*"));
  const listen = (event) => {
    if (!frame.isConnected) {
      removeEventListener("message", listen);
      return;
    }
    const said = event.source === frame.contentWindow ? event.data?.fanfarePreview : null;
    if (!said) return;
    frame.height = String(Math.min(HEIGHT_MAX, Math.max(80, Number(said.height) || 0)));
    note.hidden = !said.remote;
    note.textContent = `${said.remote} picture${said.remote === 1 ? "" : "s"} of other hosts: not loaded here.`;
  };
  addEventListener("message", listen);
  return h("div", {}, frame, note);
}

/** The parts of a message by what they are for: `[name, element]`, in the order of a channel. */
export function views(parts, { channel, direction, to } = {}) {
  const bubble = (kind, ...content) =>
    h("div", { class: `phone ${kind}` }, h("div", { class: "screen", dir: direction ?? "auto" }, content));
  const made = [];
  const add = (name, channels, element) => element && made.push({ name, fits: channels.includes(channel), element });
  const mailHead = () =>
    h(
      "dl",
      { class: "mail-head" },
      to && h("div", {}, h("dt", {}, "To"), h("dd", {}, to)),
      h("div", {}, h("dt", {}, "Subject"), h("dd", { dir: "auto" }, parts.title ?? "")),
    );
  add("Mail", ["email"], parts.html && h("div", {}, mailHead(), htmlFrame(parts.html, direction)));
  add(
    "Text",
    ["email", "in_app", "chat", "webhook"],
    (parts.body || parts.title) &&
      h("div", {}, mailHead(), h("pre", { class: "plain-mail", dir: direction ?? "auto" }, parts.body ?? "")),
  );
  add(
    "SMS",
    ["sms"],
    (parts.sms ?? (channel === "sms" ? parts.body : null)) &&
      bubble("sms", h("p", { class: "bubble" }, parts.sms ?? parts.body)),
  );
  const push = parts.push ?? (channel === "push" ? parts : null);
  add(
    "Push",
    ["push"],
    push &&
      bubble(
        "push",
        h(
          "div",
          { class: "banner" },
          h("p", {}, h("b", {}, push.title ?? parts.title ?? "")),
          h("p", {}, push.body ?? parts.body ?? ""),
        ),
      ),
  );
  add(
    "Call",
    ["voice"],
    (parts.voice ?? (channel === "voice" ? parts.body : null)) &&
      bubble("sms", h("p", { class: "bubble" }, "🔊 ", parts.voice ?? parts.body)),
  );
  return made.sort((a, b) => Number(b.fits) - Number(a.fits));
}

/** Those as tabs; the first that fits the channel is open. */
export function message(parts, options = {}) {
  const made = views(parts, options);
  if (made.length === 0) return h("p", { class: "soft" }, "The message has no part to show.");
  return tabs(
    "Parts of the message",
    made.map(({ name, element }) => [name, () => element]),
  );
}

/** Tabs: `[name, build()]`; what is behind one is made when it is opened. Answers the element, with `openTab(index)`. */
export function tabs(label, entries, chosen = 0) {
  const panel = h("div", { class: "tab-panel", role: "tabpanel", tabindex: "0" });
  const heads = entries.map(([name], index) =>
    h("button", { type: "button", role: "tab", class: "tab", onclick: () => openTab(index) }, name),
  );
  const openTab = (index) => {
    heads.forEach((head, at) => {
      head.setAttribute("aria-selected", String(at === index));
      head.tabIndex = at === index ? 0 : -1;
    });
    panel.setAttribute("aria-label", entries[index][0]);
    fill(panel, entries[index][1]());
    element.chosen = index;
  };
  const list = h(
    "div",
    {
      "class": "tabs",
      "role": "tablist",
      "aria-label": label,
      "onkeydown": (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const rightToLeft = getComputedStyle(list).direction === "rtl" ? -1 : 1;
        const next = (element.chosen + step * rightToLeft + heads.length) % heads.length;
        openTab(next);
        heads[next].focus();
      },
    },
    heads,
  );
  const element = h("div", { class: "stack tabbed" }, list, panel);
  element.openTab = openTab;
  openTab(Math.min(chosen, entries.length - 1));
  return element;
}

/** What came with it. */
export function enclosures(sent) {
  const names = sent.attachments ?? [];
  return h("p", { class: "soft small" }, [
    "Taken ",
    when(sent.at),
    sent.attempt > 1 && `, attempt ${sent.attempt}`,
    names.length > 0 && `, with ${names.map((one) => `${one.name} (${bytes(one.bytes)})`).join(", ")}`,
    sent.unsubscribe && [
      ", ",
      h("a", { href: sent.unsubscribe, target: "_blank", rel: "noopener noreferrer" }, "its unsubscribe link"),
    ],
  ]);
}
