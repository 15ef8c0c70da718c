// Fields to fill in, each with its name, a hint and what is wrong with it.

import { fill, h, uniqueId } from "./dom.js";

/** A field around an input, select or textarea; `element` is what the control stands in, if it does not stand alone. */
export function field(label, control, hint, element = control) {
  const id = uniqueId("field");
  control.id = id;
  const hintId = `${id}-hint`;
  if (hint) control.setAttribute("aria-describedby", hintId);
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    element,
    hint && h("p", { class: "hint", id: hintId }, hint),
  );
}

export const text = (properties = {}) =>
  h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...properties });
export const area = (properties = {}) => h("textarea", { spellcheck: "false", ...properties });

/** A select of `[value, label]` pairs or plain values. */
export function select(options, chosen, properties = {}) {
  const element = h("select", properties);
  for (const option of options) {
    const [value, label] = Array.isArray(option) ? option : [option, option];
    element.append(h("option", { value, selected: value === chosen }, label));
  }
  if (chosen !== undefined && chosen !== null) element.value = chosen;
  return element;
}

/** A box to tick. */
export function tick(label, checked) {
  const box = h("input", { type: "checkbox", checked });
  const element = h("label", { class: "tick" }, box, label);
  return { element, box };
}

/** Several boxes under one name. */
export function ticks(legend, options, chosen = []) {
  const boxes = options.map((option) => [option, tick(option, chosen.includes(option))]);
  const element = h(
    "fieldset",
    { class: "ticks" },
    h("legend", {}, legend),
    boxes.map(([, one]) => one.element),
  );
  return { element, values: () => boxes.filter(([, one]) => one.box.checked).map(([option]) => option) };
}

/** What a textarea says as JSON; throws a sentence that names the field. Empty is `undefined`. */
export function readJson(control, name) {
  if (control.value.trim() === "") return undefined;
  try {
    const value = JSON.parse(control.value);
    control.removeAttribute("aria-invalid");
    return value;
  } catch (error) {
    control.setAttribute("aria-invalid", "true");
    control.focus();
    throw new Error(`${name} must be JSON: ${error.message}`);
  }
}

/** A textarea with the numbers of its lines. */
export function numbered(properties = {}) {
  const control = area({ ...properties, wrap: "off" });
  const gutter = h("div", { "class": "gutter", "aria-hidden": "true" });
  const element = h("div", { class: "numbered" }, gutter, control);
  let lines = 0;
  const paint = () => {
    const now = control.value.split("\n").length;
    if (now !== lines)
      fill(
        gutter,
        Array.from({ length: now }, (_, index) => h("div", {}, index + 1)),
      );
    lines = now;
    gutter.scrollTop = control.scrollTop;
  };
  control.addEventListener("input", paint);
  control.addEventListener("scroll", () => {
    gutter.scrollTop = control.scrollTop;
  });
  paint();
  return { element, control, paint };
}

/** A field around such a textarea. */
export const numberedField = (label, box, hint) => field(label, box.control, hint, box.element);

/** What a form is left with: its fields in a grid, and the buttons. */
export function form(fields, buttons, onsubmit) {
  return h(
    "form",
    {
      class: "stack",
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        onsubmit?.(event);
      },
    },
    h("div", { class: "fields" }, fields),
    h("div", { class: "actions" }, buttons),
  );
}

export const CHANNELS = ["email", "sms", "push", "in_app", "voice", "chat", "webhook"];
export const PRIORITIES = ["critical", "high", "normal", "low"];
