// The inbox component in a real Chromium, on the demo page: what comes is seen at once, on every connection, and nothing is missed.
//
//   fanfare serve --config tests/browser/fanfare.toml --data-dir "$(mktemp -d)" &
//   node tests/browser/inbox.mjs http://127.0.0.1:18390 [--key KEY] [--shots FOLDER] [--only TEXT]
//
// Needs node 18 or newer and a Chromium (`CHROMIUM` names one; else those in PATH), and nothing from npm. `--key`: an API key with
// `send` and `read` (default `browser-tests-all`). `--shots`: where pictures go, at 1440 and 390 px, light and dark. It makes users
// of its own, so that any server will do which takes pages of http://localhost:18393 (`realtime.allowed_origins`). Ends with 0 if
// all is well; what is wrong is told by test.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

import { Browser } from "./driver.mjs";

const [base, ...options] = process.argv.slice(2);
const option = (name) => (options.includes(name) ? options[options.indexOf(name) + 1] : undefined);
if (!base) throw new Error("say where the server is: node tests/browser/inbox.mjs http://127.0.0.1:18390");
const [shots, only] = [option("--shots"), option("--only") ?? ""];
const KEY = option("--key") ?? "browser-tests-all";
const RUN = Date.now().toString(36);
/* A page of somebody else: named in `realtime.allowed_origins` of tests/browser/fanfare.toml. */
const SHOP = "http://localhost:18393";
const NASTY = "<img src=x onerror=\"document.title='owned'\">";

const call = async (method, path, body) => {
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  const response = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
};

const send = (user, title, more = {}) =>
  call("POST", "/v1/notifications", { user_id: user, channels: ["in_app"], content: { title, body: "A body." }, ...more });

/* What stands in the component, as somebody would see it. */
const badge = (page) => page.eval(() => {
  const badge = document.querySelector("fanfare-inbox").shadowRoot.querySelector(".badge");
  return badge.hidden ? "" : badge.textContent;
});
const untilBadge = (page, text) => page.until((wanted) => {
  const badge = document.querySelector("fanfare-inbox").shadowRoot.querySelector(".badge");
  return (badge.hidden ? "" : badge.textContent) === wanted;
}, `the badge says “${text}”`, text);
const untilState = (page, state) => page.until((wanted) => document.querySelector("fanfare-inbox").state === wanted, `the connection is ${state}`, state);
const titles = (page) => page.eval(() => [...document.querySelector("fanfare-inbox").shadowRoot.querySelectorAll("li")].map((row) => row.querySelector("bdi").textContent));
const untilTitles = (page, ...wanted) => page.until((wanted) => {
  const rows = [...document.querySelector("fanfare-inbox").shadowRoot.querySelectorAll("li")];
  return JSON.stringify(rows.map((row) => row.querySelector("bdi").textContent)) === JSON.stringify(wanted);
}, `the list is ${wanted.join(", ")}`, wanted);
const isOpen = (page) => page.eval(() => !document.querySelector("fanfare-inbox").shadowRoot.querySelector(".panel").hidden);
const focused = (page) => page.eval(() => {
  const active = document.querySelector("fanfare-inbox").shadowRoot.activeElement;
  return active?.closest("li")?.querySelector("bdi").textContent ?? active?.className ?? "";
});
const untilRead = async (user) => {
  for (const end = Date.now() + 15_000; Date.now() < end; await new Promise((done) => setTimeout(done, 100))) {
    const { data } = await call("GET", `/v1/users/${user}/inbox`);
    if (data[0]?.read) return;
  }
  throw new Error("waited in vain until the server knows that it was read");
};
const show = (page) => page.eval(() => document.querySelector("fanfare-inbox").show());
const hide = (page) => page.eval(() => document.querySelector("fanfare-inbox").hide());

const CODES = { Escape: 27, ArrowDown: 40, ArrowUp: 38, Home: 36, End: 35, Enter: 13, Delete: 46, Tab: 9 };
const key = async (page, name) => {
  const event = { key: name, code: name, windowsVirtualKeyCode: CODES[name] };
  await page.call("Input.dispatchKeyEvent", { type: "keyDown", ...event, ...(name === "Enter" && { text: "\r" }) });
  await page.call("Input.dispatchKeyEvent", { type: "keyUp", ...event });
};
const network = (page, offline) =>
  page.call("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });

async function connect(page, user, other = "") {
  await page.goto(`${base}/inbox-demo`);
  await page.fill("API key (scope send)", KEY);
  await page.fill("User id", user);
  await page.fill("Presence of another user", other);
  await page.press("Connect");
  await untilState(page, "live");
}

const TESTS = {
  async "what is sent is seen at once, and read on one connection it is read on all"(page, second) {
    const user = `one-${RUN}`;
    await connect(page, user);
    await connect(second, user);
    await page.fill("Title", "Sent from the page");
    await page.press("Send");
    await page.see("Accepted: ntf_");
    await Promise.all([untilBadge(page, "1"), untilBadge(second, "1")]);
    await send(user, "Another");
    await Promise.all([untilBadge(page, "2"), untilBadge(second, "2")]);
    await show(page);
    await show(second);
    await untilTitles(page, "Another", "Sent from the page");
    await second.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector("li .open").click());
    await Promise.all([untilBadge(second, "1"), untilBadge(page, "1")]);
    await page.until(() => document.title.startsWith("(1)"), "the page was told");
    await page.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector("li .put-away").click());
    await Promise.all([untilTitles(page, "Sent from the page"), untilTitles(second, "Sent from the page")]);
    await second.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector("header .plain").click());
    await Promise.all([untilBadge(second, ""), untilBadge(page, "")]);
    const { data, unread_count } = await call("GET", `/v1/users/${user}/inbox`);
    assert.deepEqual([data.length, data[0].read, unread_count], [1, true, 0], "and the server says the same");
  },

  async "what is markup is shown as text, and only what leads to a page is a link"(page) {
    const user = `two-${RUN}`;
    await connect(page, user);
    await send(user, NASTY, { content: { title: NASTY, body: NASTY }, metadata: { url: "javascript:document.title='owned'" } });
    await send(user, "A link", { metadata: { url: "/docs" } });
    await send(user, "Elsewhere", { metadata: { url: "https://example.com/a" } });
    await show(page);
    await untilTitles(page, "Elsewhere", "A link", NASTY);
    const rows = await page.eval(() => [...document.querySelector("fanfare-inbox").shadowRoot.querySelectorAll("li .open")].map(({ tagName, href, rel, target }) => ({ tagName, href, rel, target })));
    assert.deepEqual(rows.map(({ tagName }) => tagName), ["A", "A", "BUTTON"]);
    assert.deepEqual([rows[0].target, rows[0].rel, rows[1].href], ["_blank", "noopener", `${base}/docs`]);
    assert.notEqual(await page.eval(() => document.title), "owned");
  },

  async "all of it is done by keys"(page) {
    const user = `three-${RUN}`;
    await connect(page, user);
    for (const title of ["first", "second", "third"]) await send(user, title).then(() => page.until((title) => document.querySelector("#log").innerText.includes(`"${title}"`), "it came", title));
    await page.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector(".bell").focus());
    await key(page, "Enter");
    await untilTitles(page, "third", "second", "first");
    assert.equal(await focused(page), "third");
    await key(page, "ArrowDown");
    assert.equal(await focused(page), "second");
    await key(page, "End");
    assert.equal(await focused(page), "first");
    await key(page, "ArrowDown");
    assert.equal(await focused(page), "first", "there is nothing below");
    await key(page, "Home");
    await key(page, "Enter");
    await untilBadge(page, "2");
    await key(page, "Delete");
    await untilTitles(page, "second", "first");
    assert.equal(await focused(page), "second");
    await key(page, "Escape");
    assert.deepEqual([await isOpen(page), await focused(page)], [false, "bell"]);
  },

  async "who comes and goes is seen by who may see it"(page, second) {
    const [user, other] = [`four-${RUN}`, `five-${RUN}`];
    await connect(page, user, other);
    await connect(second, other);
    await page.until(() => document.querySelector("#presence").textContent === "online", "the other is online");
    await second.goto("about:blank");
    await page.until(() => document.querySelector("#presence").textContent === "offline", "the other is offline");
  },

  async "what comes while it is offline is there when it is back"(page) {
    const user = `six-${RUN}`;
    await connect(page, user);
    await network(page, true);
    await untilState(page, "offline");
    await show(page);
    await page.until(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector(".state").innerText.includes("offline"), "it says so");
    await send(user, "While you were away");
    await network(page, false);
    await untilState(page, "live");
    await untilTitles(page, "While you were away");
    assert.equal(await badge(page), "1");
  },

  async "where no WebSocket goes through, a stream does"(page) {
    const user = `seven-${RUN}`;
    const { identifier } = await page.call("Page.addScriptToEvaluateOnNewDocument", { source: "globalThis.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 }), 5); } close() {} };" });
    await connect(page, user);
    await send(user, "By stream");
    await untilBadge(page, "1");
    await show(page);
    await page.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector("li .open").click());
    await untilBadge(page, "");
    await untilRead(user);
    await page.call("Page.removeScriptToEvaluateOnNewDocument", { identifier });
  },

  async "a token that does not count is replaced, and without another the page is told"(page) {
    const user = `eight-${RUN}`;
    await connect(page, user);
    const { token } = await call("POST", `/v1/users/${user}/ws-token`, {});
    const given = await page.eval(async (good) => {
      const inbox = document.querySelector("fanfare-inbox");
      let asked = 0;
      inbox.getToken = async () => ((asked += 1) === 1 ? "fup_wrong" : good);
      await new Promise((done) => setTimeout(done, 50));
      while (inbox.state !== "live") await new Promise((done) => setTimeout(done, 50));
      return asked;
    }, token);
    assert.equal(given, 2);
    await page.eval(() => {
      const inbox = document.querySelector("fanfare-inbox");
      inbox.addEventListener("fanfare:token-needed", () => { globalThis.wasNeeded = true; });
      inbox.getToken = null;
      inbox.setAttribute("token", "fup_wrong");
    });
    await page.until(() => globalThis.wasNeeded && document.querySelector("fanfare-inbox").state === "expired", "the page is told");
    await page.eval((good) => document.querySelector("fanfare-inbox").setAttribute("token", good), token);
    await untilState(page, "live");
  },

  async "a page of another origin embeds it, under a policy that lets nothing else in"(page) {
    const user = `shop-${RUN}`;
    const server = createServer(async (request, response) => {
      if (request.method === "POST" && request.url === "/my/inbox-token") {
        response.setHeader("content-type", "application/json");
        return response.end(JSON.stringify(await call("POST", `/v1/users/${user}/ws-token`, {})));
      }
      const policy = `default-src 'none'; script-src ${base}; connect-src 'self' ${base} ${base.replace("http", "ws")}; require-trusted-types-for 'script'`;
      response.setHeader("content-security-policy", policy);
      response.setHeader("content-type", "text/html; charset=utf-8");
      return response.end(`<!doctype html><html lang="de"><title>Shop</title><fanfare-inbox user="${user}" token-url="/my/inbox-token"></fanfare-inbox><script src="${base}/inbox/fanfare-inbox.js" defer></script></html>`);
    });
    await new Promise((done) => server.listen(new URL(SHOP).port, "localhost", done));
    try {
      await page.goto(SHOP);
      await untilState(page, "live");
      await send(user, "For the shop");
      await untilBadge(page, "1");
      await show(page);
      await untilTitles(page, "For the shop");
      assert.equal(await page.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector("h2").textContent), "Mitteilungen");
      await page.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector("li .open").click());
      await untilRead(user);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  },

  async "it looks as it should, in both schemes, small and large, from either side"(page) {
    const user = `nine-${RUN}`;
    await connect(page, user);
    await show(page);
    await page.until(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector(".empty").offsetParent !== null, "it says that it is empty");
    await look(page, "inbox-empty");
    await send(user, NASTY, { category: "social" });
    await send(user, "Your order is on its way", { content: { title: "Your order is on its way", body: "It arrives on Thursday, between 9 and 12. " + "Somebody has to be at home. ".repeat(12) }, metadata: { url: "/docs" }, category: "transactional" });
    await send(user, "طلبك في الطريق", { content: { title: "طلبك في الطريق", body: "سيصل يوم الخميس." } });
    await page.until(() => document.querySelector("fanfare-inbox").shadowRoot.querySelectorAll("li").length === 3, "there are three");
    await page.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelectorAll("li .open")[0].click());
    await look(page, "inbox");
    await page.eval(() => {
      const language = document.querySelector("#language");
      language.value = "ar";
      language.dispatchEvent(new Event("change"));
    });
    await hide(page);
    await show(page);
    assert.equal(await page.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector("h2").textContent), "الإشعارات");
    await look(page, "inbox-ar");
    const { x, right } = await page.eval(() => document.querySelector("fanfare-inbox").shadowRoot.querySelector(".panel").getBoundingClientRect().toJSON());
    assert.ok(x >= 0 && right <= 1440, `it stands in the page: ${x} to ${right}`);
  },
};

async function look(page, name) {
  for (const width of [1440, 390]) {
    for (const scheme of ["light", "dark"]) {
      await page.look({ width, height: width < 500 ? 844 : 900, scheme });
      await new Promise((done) => setTimeout(done, 250));
      const wide = await page.eval(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${name} at ${width} px is ${wide} px too wide`);
      if (shots) await page.shoot(join(shots, `${name}-${width}-${scheme}.png`));
      assert.deepEqual(await page.axe(), [], `axe finds nothing serious in ${name}, ${width} px, ${scheme}`);
    }
  }
  await page.look({ width: 1440, height: 900, scheme: "light" });
}

if (shots) mkdirSync(shots, { recursive: true });
const browser = await Browser.start();
let failed = 0;
for (const [name, test] of Object.entries(TESTS).filter(([name]) => name.includes(only))) {
  const pages = [await browser.page(), await browser.page()];
  try {
    await test(...pages);
    for (const page of pages) {
      assert.deepEqual(page.trouble, [], "nothing went wrong in the page");
      const strange = page.requests.filter((url) => !url.startsWith(base) && !url.startsWith(SHOP) && url !== "about:blank");
      assert.deepEqual(strange, [], "it asked nobody else");
    }
    console.log(`ok: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${name}\n${error.stack}\n${pages.map(({ trouble }) => trouble.join("\n")).join("\n")}`);
    if (shots) await pages[0].shoot(join(shots, `failed-${failed}.png`)).catch(() => {});
  }
  for (const page of pages) await page.close();
}
await browser.stop();
console.log(`inbox: ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
