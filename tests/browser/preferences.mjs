// The pages of recipients in a real Chromium, with scripts switched off: leaving with one click, the way back, and the page of choices.
//
//   fanfare serve --config tests/browser/fanfare.toml --data-dir "$(mktemp -d)" &
//   node tests/browser/preferences.mjs http://127.0.0.1:18390 [--key KEY] [--shots FOLDER] [--only TEXT]
//
// Needs node 18 or newer and a Chromium (`CHROMIUM` names one; else those in PATH), and nothing from npm. `--key`: an API key with
// all scopes (default `browser-tests-all`), of a server with a sandbox for mail. `--shots`: where pictures go, at 1440 and 390 px,
// light and dark. It makes users of its own. Ends with 0 if all is well; what is wrong is told by test.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { Browser } from "./driver.mjs";

const [base, ...options] = process.argv.slice(2);
const option = (name) => (options.includes(name) ? options[options.indexOf(name) + 1] : undefined);
if (!base) throw new Error("say where the server is: node tests/browser/preferences.mjs http://127.0.0.1:18390");
const [shots, only] = [option("--shots"), option("--only") ?? ""];
const KEY = option("--key") ?? "browser-tests-all";
const RUN = Date.now().toString(36);
const NASTY = `<img src=x onerror="document.title='owned'">${RUN}`;

const call = async (method, path, body) => {
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  const response = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
};

/* The path of a link, whatever the server believes to be called. */
const local = (url) => base + new URL(url).pathname;
const link = async (user) => local((await call("POST", `/v1/users/${encodeURIComponent(user)}/preferences-link`)).url);
const said = async (user) => {
  const { preferences } = await call("GET", `/v1/users/${encodeURIComponent(user)}/preferences`);
  return preferences.map(({ category, channel, enabled }) => `${category} ${channel} ${enabled}`);
};

/** The link in a mail that a user gets. */
async function mailed(user, to) {
  const request = { content: { title: "News", body: "There is news." }, category: "marketing", channels: ["email"] };
  const { id } = await call("POST", "/v1/notifications", { ...request, ...(user ? { user_id: user } : {}), ...(to ? { to: { email: to } } : {}) });
  for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((done) => setTimeout(done, 100))) {
    const { data } = await call("GET", "/v1/sandbox/messages?limit=100");
    const mail = data.find((message) => message.notification_id === id || message.task_id?.startsWith(id) || JSON.stringify(message).includes(id.slice(4)));
    const url = mail && JSON.stringify(mail).match(/https?:[^"]*\/u\/[\w-]+/)?.[0];
    if (url) return local(url);
  }
  throw new Error("no mail with a link came");
}

const text = (page) => page.eval(() => document.body.innerText);
const ticked = (page) => page.eval(() => [...document.querySelectorAll("input:checked")].map(({ value }) => value));

const TESTS = {
  async "one click leaves, and another brings it back"(page) {
    const user = `one-${RUN}`;
    await call("PUT", `/v1/users/${user}`, { email: `${user}@example.com` });
    await page.goto(await mailed(user));
    await page.see("Do you want to stop getting");
    await look(page, "unsubscribe");
    await page.press("Unsubscribe");
    await page.see("You will not get");
    assert.deepEqual(await said(user), ["marketing email false"]);
    await look(page, "unsubscribed");
    await page.press("Undo: I want to get this");
    await page.see("Saved");
    assert.deepEqual(await said(user), ["marketing email true"]);
    assert.equal(await page.eval(() => document.cookie), "");
  },

  async "what is ticked is saved, and all that can be left is left at once"(page) {
    const user = `two-${RUN}`;
    await call("PUT", `/v1/users/${user}`, { email: `${user}@example.com` });
    await page.goto(await mailed(user));
    await page.press("Choose what you get");
    await page.see("Tick what you want to get");
    await look(page, "choices");
    await page.eval(() => document.querySelector('input[type="checkbox"][value="email:social"]').click());
    await page.press("Save");
    await page.see("E-mail: off");
    assert.deepEqual(await said(user), ["social email false"]);
    await look(page, "choices-saved");
    assert.ok(!(await ticked(page)).includes("email:social"));
    await page.press("Leave everything that can be left");
    await page.until(() => document.querySelectorAll("input:checked").length === 0, "nothing is ticked");
    const all = await said(user);
    assert.ok(all.length > 6 && all.every((line) => line.endsWith("false") && !line.startsWith("security")), all.join(", "));
    const { tasks } = await call("GET", `/v1/notifications/${(await call("POST", "/v1/notifications", { user_id: user, channels: ["email"], category: "marketing", content: { title: "a", body: "b" } })).id}`);
    assert.deepEqual(tasks ?? [], [], "nothing is sent any more");
    await page.press("Undo: I want to get this");
    await page.until(() => document.querySelectorAll("input:checked").length > 6, "all is ticked again");
  },

  async "it speaks the language of its reader"(page) {
    for (const [locale, title, direction] of [["de-DE", "Was Sie erhalten", "ltr"], ["zh-CN", "您接收的内容", "ltr"], ["ar", "ما يصلك", "rtl"]]) {
      const user = `${locale}-${RUN}`;
      await call("PUT", `/v1/users/${user}`, { locale });
      await page.goto(await link(user));
      await page.see(title);
      assert.equal(await page.eval(() => document.documentElement.dir), direction);
      await look(page, `choices-${locale.slice(0, 2)}`);
    }
  },

  async "a name that is markup is shown as text"(page) {
    await page.goto(await link(NASTY));
    await page.see(NASTY);
    assert.equal(await page.eval(() => document.images.length), 0);
  },

  async "who has no id leaves with the address and may come back"(page) {
    const address = `nobody-${RUN}@example.com`;
    await page.goto(await mailed(null, address));
    await page.press("Choose what you get");
    await page.press("Unsubscribe");
    await page.see("You will get no more messages at this address.");
    assert.equal((await call("GET", `/v1/suppressions/email/${address}`)).reason, "opt_out");
    await look(page, "address");
    await page.press("Undo: I want to get this");
    await page.see("You will get messages at this address again.");
  },

  async "a link that leads nowhere says so"(page) {
    await page.goto(`${base}/preferences/AAAA`);
    await page.see("This link is not valid");
    await look(page, "unknown");
    const user = `gone-${RUN}`;
    await call("PUT", `/v1/users/${user}`, { locale: "en" });
    const path = await link(user);
    await call("DELETE", `/v1/users/${user}`);
    await page.goto(path);
    await page.see("Nothing is kept about you");
  },
};

async function look(page, name) {
  await scripts(page, true);
  for (const width of [1440, 390]) {
    for (const scheme of ["light", "dark"]) {
      await page.look({ width, height: width < 500 ? 844 : 900, scheme });
      await new Promise((done) => setTimeout(done, 100));
      const wide = await page.eval(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${name} at ${width} px is ${wide} px too wide`);
      if (shots) await page.shoot(join(shots, `${name}-${width}-${scheme}.png`));
      assert.deepEqual(await page.axe(), [], `axe finds nothing serious in ${name}, ${width} px, ${scheme}`);
    }
  }
  await page.look({ width: 1440, height: 900, scheme: "light" });
  await scripts(page, false);
}

/** The page has none; axe is one. */
const scripts = (page, may) => page.call("Emulation.setScriptExecutionDisabled", { value: !may });

if (shots) mkdirSync(shots, { recursive: true });
const browser = await Browser.start();
let failed = 0;
for (const [name, test] of Object.entries(TESTS).filter(([name]) => name.includes(only))) {
  const page = await browser.page();
  try {
    // Nothing of the page may need a script; what the test asks of it still runs.
    await scripts(page, false);
    await test(page);
    assert.deepEqual(page.trouble, [], "nothing went wrong in the page");
    assert.deepEqual(page.requests.filter((url) => !url.startsWith(base)), [], "it asked nobody else");
    console.log(`ok: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${name}\n${error.stack}\n${page.trouble.join("\n")}\n${await text(page).catch(() => "")}`);
    if (shots) await page.shoot(join(shots, `failed-${failed}.png`)).catch(() => {});
  }
  await page.close();
}
await browser.stop();
console.log(`preferences: ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
