// Making elements. Text from data only ever becomes text: there is no way here to make markup of it.

/** An element: `h("p", {class: "soft"}, "text", child)`. Functions named `on…` listen; `false`, `null` and absent are left out. */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on") && typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name === "checked") element.checked = Boolean(value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

/** Puts these in the place of what is in the element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

let last = 0;
/** An id that no other element has. */
export function uniqueId(prefix) {
  last += 1;
  return `${prefix}-${last}`;
}

/** Tells who cannot see it. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** A page's head: its name, what is to be done here, and what it is about. */
export function pageHead(title, about, ...actions) {
  const given = actions.flat().filter(Boolean);
  return h(
    "header",
    { class: "page-head" },
    h("div", {}, h("h1", { tabindex: "-1" }, title), about && h("p", { class: "soft" }, about)),
    given.length > 0 && h("div", { class: "actions" }, given),
  );
}

/** A ground with a name. */
export function card(title, ...children) {
  const id = uniqueId("card");
  return h("section", { "class": "card", "aria-labelledby": id }, h("h2", { id }, title), children);
}

/** What to say where there is nothing: never only that there is nothing, but what to do next. */
export function empty(title, hint, ...actions) {
  return h(
    "div",
    { class: "empty" },
    h("p", { class: "empty-title" }, title),
    hint && h("p", { class: "soft" }, hint),
    actions,
  );
}

/** Names and values. `null` values are left out. */
export function facts(pairs) {
  const list = h("dl", { class: "facts" });
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    list.append(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  }
  return list;
}

/** JSON, to be read. */
export function json(value) {
  return h("pre", { class: "json", tabindex: "0" }, JSON.stringify(value, null, 2));
}

/** A link within the console. */
export function link(address, ...text) {
  return h("a", { href: `#${address}` }, text);
}
