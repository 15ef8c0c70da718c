// The console's frame: signing in, the list of pages, and which page is shown.

import { call, isAbort } from "./api.js";
import { button, failure } from "./dialog.js";
import { announce, fill, h } from "./dom.js";
import { field } from "./form.js";
import { live } from "./live.js";
import * as session from "./session.js";

import * as accounting from "./accounting.js";
import * as analytics from "./analytics.js";
import * as audit from "./audit.js";
import * as brakes from "./brakes.js";
import * as campaigns from "./campaigns.js";
import * as deadLetters from "./dead-letters.js";
import * as notifications from "./notifications.js";
import * as outbox from "./outbox.js";
import * as overview from "./overview.js";
import * as providers from "./providers.js";
import * as rules from "./rules.js";
import * as schedules from "./schedules.js";
import * as send from "./send.js";
import * as templateEditor from "./template-editor.js";
import * as templates from "./templates.js";
import * as users from "./users.js";

/** The pages, in the order of the list: [address, name, module, group]. */
const PAGES = [
  ["overview", "Overview", overview, "Watch"],
  ["analytics", "Analytics", analytics, "Watch"],
  ["providers", "Providers", providers, "Watch"],
  ["accounting", "Accounting", accounting, "Watch"],
  ["audit", "Audit", audit, "Watch"],
  ["notifications", "Notifications", notifications, "Messages"],
  ["send", "Send a test", send, "Messages"],
  ["outbox", "Sandbox outbox", outbox, "Messages"],
  ["campaigns", "Campaigns", campaigns, "Messages"],
  ["dead-letters", "Dead letters", deadLetters, "Messages"],
  ["users", "Users", users, "What is known"],
  ["templates", "Templates", templates, "What is known"],
  ["rules", "Rules and events", rules, "What is known"],
  ["schedules", "Schedules", schedules, "What is known"],
  ["brakes", "Brakes", brakes, "What is known"],
];
const MODULES = new Map([
  ...PAGES.map(([address, name, module]) => [address, { name, module }]),
  ["template", { name: "Template", module: templateEditor }],
]);

const app = document.getElementById("app");
let leaving = null;
/** Opens or closes the list of pages on a narrow screen. */
let openMenu = () => {};
let main = null;

function signIn(problem) {
  leaving?.abort();
  live.end();
  main = null;
  document.title = "Sign in · Fanfare console";
  const key = h("input", {
    type: "password",
    name: "key",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
  });
  const trouble = h("div", {}, problem && h("p", { class: "notice warn", role: "alert" }, problem));
  const form = h(
    "form",
    {
      class: "card sign-in stack",
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          session.begin(key.value.trim(), await call("GET", "/v1/me", { key: key.value.trim() }));
          frame();
        } catch (error) {
          const elsewhere = "This node takes no requests. Open the console of one that has the role “api”.";
          fill(
            trouble,
            error.status === 404 ? h("p", { class: "notice warn", role: "alert" }, elsewhere) : failure(error),
          );
          key.focus();
        }
      },
    },
    h("h1", {}, "Fanfare console"),
    trouble,
    field(
      "API key",
      key,
      "One of http.keys in the server's configuration. It stays in this tab, and is forgotten when you close it.",
    ),
    h("button", { type: "submit", class: "primary" }, "Sign in"),
  );
  fill(app, h("main", { class: "sign-in-ground" }, form));
  key.focus();
}

function frame() {
  live.begin();
  const me = session.whoAmI();
  const groups = [...new Set(PAGES.map(([, , , group]) => group))];
  const links = (group) =>
    PAGES.filter(([, , , own]) => own === group).map(([address, name]) =>
      h("li", {}, h("a", { href: `#/${address}` }, name)),
    );
  const nav = h(
    "nav",
    { "id": "pages", "aria-label": "Pages" },
    groups.map((group) => [
      h("p", { "class": "nav-group", "aria-hidden": "true" }, group),
      h("ul", { "aria-label": group }, links(group)),
    ]),
  );
  const menu = h(
    "button",
    {
      "type": "button",
      "class": "menu",
      "aria-expanded": "false",
      "aria-controls": "pages",
      "onclick": () => openMenu(menu.getAttribute("aria-expanded") !== "true"),
    },
    "☰ Pages",
  );
  openMenu = (isOpen) => {
    menu.setAttribute("aria-expanded", String(isOpen));
    nav.classList.toggle("open", isOpen);
  };
  main = h("main", { id: "main", tabindex: "-1" });
  fill(
    app,
    h(
      "a",
      {
        class: "skip-link",
        href: "#main",
        onclick: (event) => {
          event.preventDefault();
          main.focus();
        },
      },
      "Skip to the page",
    ),
    h(
      "header",
      { class: "top" },
      menu,
      h("a", { class: "brand", href: "#/overview" }, "Fanfare"),
      h(
        "p",
        { class: "who" },
        h("span", {}, me.tenant),
        h("span", { class: "soft" }, `${me.name}: ${me.scopes.join(", ")}`),
      ),
      h(
        "div",
        { class: "actions" },
        themeButton(),
        h(
          "button",
          {
            type: "button",
            onclick: () => {
              session.end();
              signIn();
            },
          },
          "Sign out",
        ),
      ),
    ),
    h("div", { class: "columns" }, nav, main),
  );
  show();
}

function themeButton() {
  const dark = () =>
    (document.documentElement.dataset.theme ??
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const words = () => (dark() ? "Light" : "Dark");
  const element = button(
    words(),
    () => {
      const next = dark() ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try {
        localStorage.setItem("fanfare.theme", next);
      } catch {
        // It holds until the page is closed.
      }
      element.textContent = words();
      dispatchEvent(new Event("fanfare:theme"));
    },
    { title: "Changes between the light and the dark scheme" },
  );
  matchMedia("(prefers-color-scheme: dark)").onchange = () => (element.textContent = words());
  return element;
}

/** Shows the page that the address names: `#/notifications/ntf_…?user=…`. */
async function show() {
  if (!main) return;
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decoded);
  const page = MODULES.get(name || "overview");
  openMenu(false);
  // Whoever goes back with a question open has answered it.
  for (const question of document.querySelectorAll("dialog[open]")) question.close();
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const of = name === "template" ? "templates" : name || "overview";
  for (const item of app.querySelectorAll("nav a")) {
    if (item.getAttribute("href") === `#/${of}`) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  if (!page) {
    location.replace("#/overview");
    return;
  }
  document.title = `${page.name} · Fanfare console`;
  const ground = h("div", { class: "page stack" });
  fill(main, ground);
  const context = { signal, rest, query: new URLSearchParams(query), every: (ms, work) => repeat(ms, work, signal) };
  try {
    await page.module.show(ground, context);
    if (!signal.aborted) arrived(ground, page.name);
  } catch (error) {
    if (!isAbort(error) && !signal.aborted) fill(ground, h("h1", { tabindex: "-1" }, page.name), failure(error, show));
  }
}

let isFirst = true;
/** A page that was gone to is announced by its heading; the first one leaves the focus where it is. */
function arrived(ground, name) {
  if (!isFirst) ground.querySelector("h1")?.focus({ preventScroll: true });
  isFirst = false;
  scrollTo(0, 0);
  announce(name);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Does something again and again until the page is left; not while nobody looks, and never twice at once. */
function repeat(ms, work, signal) {
  let busy = false;
  const timer = setInterval(async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      await work();
    } catch {
      // The next time says whether it lasts.
    } finally {
      busy = false;
    }
  }, ms);
  signal.addEventListener("abort", () => clearInterval(timer));
}

addEventListener("hashchange", show);
addEventListener("fanfare:signed-out", (event) => {
  session.end();
  signIn(`You are signed out: ${event.detail}.`);
});

async function begin() {
  const key = session.key();
  if (!key) {
    signIn();
    return;
  }
  try {
    session.begin(key, await call("GET", "/v1/me", { key }));
    frame();
  } catch (error) {
    if (error.status === 401) signIn("This key is not known here any more.");
    else fill(app, h("main", { class: "sign-in-ground" }, failure(error, begin)));
  }
}

begin();
