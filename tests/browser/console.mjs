// The console in a real Chromium: what operators do there, what every page looks like, and that messages stay in their frame.
//
//   fanfare serve --config tests/browser/fanfare.toml --data-dir "$(mktemp -d)" &
//   node tests/browser/console.mjs http://127.0.0.1:18390 [--shots FOLDER] [--only TEXT]
//
// Needs node 18 or newer and a Chromium (`CHROMIUM` names one; else those in PATH), and nothing from npm. `--shots`: where pictures
// of every page go, at 1440 and 390 px, light and dark. `--only`: the tests whose name has this text. It wants an empty server. Ends
// with 0 if all is well; what is wrong is told by test.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { Browser } from "./driver.mjs";

const [base, ...options] = process.argv.slice(2);
const option = (name) => (options.includes(name) ? options[options.indexOf(name) + 1] : undefined);
const [shots, only] = [option("--shots"), option("--only") ?? ""];
if (!base) throw new Error("say where the server is: node tests/browser/console.mjs http://127.0.0.1:18390");
const [ALL, READ] = ["browser-tests-all", "browser-tests-read"];

/** A user who would be trouble if text became markup. */
const NASTY = '<img src=x onerror="document.title=1">&"/?';
const HOSTILE =
  '<p style="color:rgb(1, 2, 3)" id="styled">Hi</p><img src="https://elsewhere.example/p.gif"><img src=x onerror="parent.document.title=\'owned\'"><script>parent.document.title="owned"</script>';

async function api(method, path, body) {
  const response = await fetch(base + path, {
    method,
    headers: { "authorization": `Bearer ${ALL}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const answer = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${answer.slice(0, 300)}`);
  return answer && JSON.parse(answer);
}

async function until(what, work) {
  for (const end = Date.now() + 15_000; Date.now() < end; await new Promise((done) => setTimeout(done, 100))) {
    const value = await work();
    if (value) return value;
  }
  throw new Error(`waited in vain until ${what}`);
}

/** What the pages show. */
async function seed() {
  await api("PUT", "/v1/users/alice", {
    email: "alice@example.com",
    phone: "+4930123456",
    locale: "de-DE",
    timezone: "Europe/Berlin",
    attributes: { plan: "pro", membership_expires_at: "2030-01-01" },
  });
  await api("PUT", `/v1/users/${encodeURIComponent(NASTY)}`, { email: "nasty@example.com" });
  await api("PUT", "/v1/users/alice/devices/phone", {
    platform: "ios",
    token: "a9d0ed10e9cfd022a61cb08753f49c5a0b0dfb383697bf9f9d750a1003da19c7",
  });
  for (let number = 0; number < 40; number += 1)
    await api("PUT", `/v1/users/member-${number}`, {
      email: `member${number}@example.com`,
      phone: `+49301234${100 + number}`,
      attributes: { plan: "pro" },
    });
  await api("PUT", "/v1/subjects/order%3A42/subscriptions/alice", { channel: "email" });
  await api("PUT", "/v1/suppressions/email/bounced@example.com", { reason: "hard_bounce" });
  for (const [index, channel] of ["email", "sms", "push"].entries())
    await api("POST", "/v1/notifications", {
      user_id: "alice",
      content: { title: "Order {{id}}", body: "It is on its way.", html: HOSTILE },
      data: { id: 7 + index },
      channels: [channel],
    });
  await api("POST", "/v1/notifications", {
    user_id: NASTY,
    content: { title: NASTY, body: NASTY },
    channels: ["email"],
  });
  for (const path of ["a", "b", "c"])
    await api("POST", "/v1/notifications", {
      to: { url: `http://127.0.0.1:9/${path}` },
      content: { title: "A hook", body: "It fails." },
      channels: ["webhook"],
    });
  await api("PUT", "/v1/schedules/expiring", {
    cron: "0 9 * * *",
    timezone: "Europe/Berlin",
    scan: {
      attribute: "membership_expires_at",
      days_ahead: [1],
      send: { content: { title: "Soon", body: "In {{days_ahead}} days" }, channels: ["email"] },
    },
  });
  await api("PUT", "/v1/rules/large-recharge", {
    event: "wallet.recharged",
    when: { field: "amount", above: 100 },
    send: { content: { title: "Recharged", body: "{{amount}}" }, channels: ["email"] },
  });
  await until("the hooks are dead letters", async () => (await api("GET", "/v1/dead-letters")).data.length === 3);
}

const state = {};
const TESTS = {
  "a wrong key is told in words, and a right one signs in": async (page) => {
    await page.goto(`${base}/console`);
    await page.fill("API key", "wrong");
    await page.press("Sign in");
    await page.see("This key is not known here");
    await signIn(page, ALL);
    assert.equal(await page.eval(() => document.cookie), "");
    assert.equal(await page.eval(() => localStorage.length), 0, "the key stays in this tab");
  },

  "the overview moves": async (page) => {
    await go(page, "overview", "Overview");
    await page.until(() => document.querySelectorAll(".chart canvas").length === 8, "there are eight charts");
    await api("POST", "/v1/notifications", {
      user_id: "alice",
      content: { title: "Now", body: "Now" },
      channels: ["email"],
    });
    await page.until(
      () =>
        [...document.querySelectorAll(".chart-ground")].some((chart) =>
          /email 0\.[1-9]/.test(chart.getAttribute("aria-label")),
        ),
      "what is sent is seen",
    );
  },

  "a test is tried, sent, and its story read": async (page) => {
    await go(page, "send", "Send a test");
    await page.fill("User id", "alice");
    await page.fill("HTML", HOSTILE);
    await page.eval(() =>
      [...document.querySelectorAll("fieldset label")].find((label) => label.textContent === "email").click(),
    );
    await page.press("See what would happen");
    await page.see("It would be sent");
    await page.press("Send it");
    await page.see("Send this message?");
    await page.press("Send it");
    await page.see("What the gates decided");
    await page.see("Taken by sandbox");
    await page.see("Wanted?");
    state.sent = await page.eval(() => decodeURIComponent(location.hash.split("/")[2]));
    await page.see("The rendered message");
  },

  "a rendered message has its styles, and no way out of its frame": async (page) => {
    await go(page, `notifications/${state.sent}`, "The rendered message");
    await page.see("of other hosts: not loaded here");
    const frame = await page.eval(() => {
      const mail = document.querySelector("iframe.mail");
      return { sandbox: mail.getAttribute("sandbox"), isOut: mail.contentDocument === null, title: document.title };
    });
    assert.deepEqual(frame, { sandbox: "allow-scripts", isOut: true, title: "Notifications · Fanfare console" });
    const inside = await page.inFrame("/console/preview.html", () => [
      getComputedStyle(document.getElementById("styled")).color,
      origin,
      document.scripts.length,
      document.querySelectorAll("[onerror]").length,
    ]);
    assert.deepEqual(inside, ["rgb(1, 2, 3)", "null", 1, 0]);
    assert.ok(
      page.requests.every((url) => url.startsWith(base)),
      "no request to another host",
    );
  },

  "notifications are found by user, and text never becomes markup": async (page) => {
    await go(page, "notifications", "Nothing looked for yet");
    await page.fill("Notification or user", NASTY);
    await page.press("Find");
    await page.until(
      (user) => document.querySelector("main h2")?.textContent === `Messages to ${user}`,
      "the user's messages are listed",
      NASTY,
    );
    await page.until(() => document.querySelectorAll("main tbody tr").length === 1, "there is one");
    assert.equal(await page.eval(() => document.querySelectorAll("main img").length), 0);
    await page.eval(() => document.querySelector("main tbody a").click());
    await page.see("What the gates decided");
  },

  "the outbox shows mail, SMS and push as they look": async (page) => {
    await go(page, "outbox", "Sandbox outbox");
    for (const [channel, view] of [
      ["sms", ".phone.sms"],
      ["push", ".phone.push"],
      ["email", "iframe.mail"],
    ]) {
      await page.until(
        (wanted) => {
          const item = [...document.querySelectorAll(".outbox-item")].find(
            (one) => one.textContent.includes(`${wanted} to`) && one.textContent.includes("Order "),
          );
          item?.click();
          return item;
        },
        `there is one by ${channel}`,
        channel,
      );
      await page.until((selector) => document.querySelector(selector), `it is shown as ${view}`, view);
    }
  },

  "analytics show what was sent, by what is asked for": async (page) => {
    await until("it is counted", async () => (await api("GET", "/v1/analytics")).totals.sent > 0);
    await go(page, "analytics", "Counts and rates");
    await page.until(() => document.querySelectorAll("main tbody tr").length > 1, "there are all, and those of a channel");
    await page.fill("Template of the experiment", "nothing.like.it");
    await page.press("Compare");
    await page.see("No variants were sent on these days");
    await page.until(
      () => document.querySelector(".chart-ground")?.getAttribute("aria-label").startsWith("By day, messages. Now: sent"),
      "the chart says in words what it shows",
    );
  },

  "a campaign's progress moves, it stands still when paused, and goes on": async (page) => {
    const { id } = await api("POST", "/v1/campaigns", {
      name: "Spring",
      audience: { segment: { field: "plan", is: "pro" } },
      content: { title: "Spring", body: "It is here." },
      channels: ["voice"],
      category: "transactional",
    });
    await go(page, `campaigns/${id}`, "are over");
    const value = () => page.eval(() => document.querySelector("main progress")?.value);
    await page.until(() => document.querySelector("main progress")?.value > 0, "it moves");
    await page.press("Pause");
    await page.press("Pause");
    await page.see("paused");
    const stood = await until("it stands", async () => {
      const before = await value();
      await new Promise((done) => setTimeout(done, 2500));
      return before === (await value()) && before;
    });
    assert.ok(stood < 100);
    await page.press("Resume");
    await page.press("Resume");
    await page.until((before) => document.querySelector("main progress").value > before, "it goes on", stood);
    await page.press("Cancel");
    await page.press("End it");
    await page.see("cancelled");
    await go(page, "campaigns", "Spring");
  },

  "dead letters are sent again, one and many": async (page) => {
    await go(page, "dead-letters", "connection refused");
    await page.press("Send again");
    await page.see("Sent again: ntf_");
    await until("it failed again", async () => (await api("GET", "/v1/dead-letters")).data.length === 3);
    await page.press("Send many again…");
    await page.press("Send again");
    await page.see("3 sent again.");
  },

  "a template is made, tried, saved, and put back": async (page) => {
    await go(page, "templates", "Templates");
    await page.press("New template");
    await page.fill("Code", "console.test");
    await page.press("Create");
    await page.see("In en");
    await page.fill("Title", "Dear {{name}}");
    await page.fill("HTML or MJML", HOSTILE);
    await page.until(
      () => document.querySelector(".mail-head")?.textContent.includes("Dear Ada"),
      "the preview follows",
    );
    await page.fill("Title", "{{#if name");
    await page.see("not closed");
    await page.fill("Title", "Dear {{name}}!");
    await page.until(
      () => document.querySelector(".mail-head")?.textContent.includes("Dear Ada!"),
      "the preview follows",
    );
    await page.press("Check");
    await page.see("It can be saved.");
    await page.press("Save…");
    await page.fill("Why (for others)", "kinder");
    await page.press("Save");
    await page.see("version 2 is in force");
    await page.see("kinder");
    await page.press("Put in force…");
    await page.press("Put in force");
    await page.see("Version 1 is in force.");
    assert.equal((await api("GET", "/v1/templates/console.test")).template.locales.en.title, "Hello {{name}}");
    assert.ok(!(await page.eval(() => document.title)).includes("owned"));
  },

  "a schedule is run now, and its history is there": async (page) => {
    await go(page, "schedules/expiring", "Next runs");
    await page.press("Run now…");
    await page.press("Run it now");
    await page.see("It has begun.");
    await page.see("manual");
  },

  "a rule is tried": async (page) => {
    await go(page, "rules/rule/large-recharge", "Try it");
    await page.press("Test it");
    await page.see("The condition does not hold for this event");
    await page.fill(
      "Event (JSON)",
      JSON.stringify({ type: "wallet.recharged", user_id: "alice", data: { amount: 250, currency: "EUR" } }),
    );
    await page.press("Test it");
    await page.see("The rule would send this");
  },

  "what is known of a user is read and changed": async (page) => {
    await go(page, "users/alice", "Attributes (JSON)");
    await page.until(
      () => [...document.querySelectorAll("input")].some((input) => input.value === "alice@example.com"),
      "the address is there",
    );
    await page.fill("Language", "en-GB");
    await page.press("Save");
    await until("it is saved", async () => (await api("GET", "/v1/users/alice")).locale === "en-GB");
    await page.press("Preferences");
    await page.see("Quiet hours");
    await page.eval(() => {
      const control = document.querySelector('select[aria-label="marketing, email"]');
      control.value = "off";
      control.dispatchEvent(new Event("change"));
    });
    await page.press("Save");
    await until("it is saved", async () =>
      (await api("GET", "/v1/users/alice/preferences")).preferences.some(({ enabled }) => enabled === false),
    );
    for (const [tab, text] of [
      ["Devices", "ios"],
      ["History", "sent"],
      ["Subscriptions", "order:42"],
      ["Suppressions", "Nothing stands against it."],
    ]) {
      await page.press(tab);
      await page.see(text);
    }
    await go(page, "users", "bounced@example.com");
  },

  "a brake is set and lifted": async (page) => {
    await go(page, "brakes", "Stop something");
    await page.fill("Which category", "marketing");
    await page.fill("Why (for others)", "a wrong price");
    await page.press("Pause…");
    await page.press("Pause");
    await page.see("a wrong price");
    await page.press("Lift…");
    await page.press("Lift");
    await page.until(() => !document.querySelector("main").innerText.includes("a wrong price"), "it is lifted");
  },

  "the books balance": async (page) => {
    await go(page, "accounting", "By source and lane");
    await page.see("The books balance");
  },

  "the keyboard alone is enough: to skip to the page, along tabs, and out of a question": async (page) => {
    const key = async (name) => {
      for (const type of ["keyDown", "keyUp"])
        await page.call("Input.dispatchKeyEvent", {
          type,
          key: name,
          code: name,
          windowsVirtualKeyCode: { Tab: 9, Enter: 13, Escape: 27, ArrowRight: 39 }[name],
          text: name === "Enter" && type === "keyDown" ? "\r" : undefined,
        });
    };
    const focused = () => page.eval(() => document.activeElement.id || document.activeElement.textContent.trim());
    // Loaded anew: the focus is nowhere yet.
    await page.goto("about:blank");
    await page.goto(`${base}/console#/users/alice`);
    await page.see("Attributes (JSON)");
    await key("Tab");
    assert.equal(await focused(), "Skip to the page");
    await key("Enter");
    assert.equal(await focused(), "main");
    await page.eval(() => document.querySelector('[role="tab"][aria-selected="true"]').focus());
    await key("ArrowRight");
    assert.equal(await focused(), "Devices");
    await page.see("ios");
    await page.press("Erase…");
    await page.see("Type the id to go on.");
    await key("Escape");
    await page.until(() => !document.querySelector("dialog"), "the question is gone");
  },

  "tables sort": async (page) => {
    await go(page, "templates", "app.failed");
    await page.press("Code");
    await page.press("Code▲");
    assert.equal(
      await page.eval(() => document.querySelector("th[aria-sort]").getAttribute("aria-sort")),
      "descending",
    );
    const codes = await page.eval(() => [...document.querySelectorAll("tbody code")].map((code) => code.textContent));
    assert.deepEqual(
      codes,
      [...codes].sort((a, b) => b.localeCompare(a)),
    );
  },

  "a key that may only read finds what changes something off, with the reason": async (_, browser) => {
    const page = await browser.page();
    await page.goto(`${base}/console`);
    await signIn(page, READ);
    await go(page, "brakes", "Stop something");
    assert.equal(
      await page.eval(() =>
        [...document.querySelectorAll("main .actions button")].every(
          (button) => button.getAttribute("aria-disabled") === "true" && button.title.includes("scope “admin”"),
        ),
      ),
      true,
    );
    await go(page, "accounting", "This needs a key with the scope “admin”");
    await page.press("Sign out");
    await page.see("API key");
    assert.equal(await page.eval(() => sessionStorage.length), 0);
    assert.deepEqual(page.trouble, []);
    await page.close();
  },

  "every page fits, wide and narrow, light and dark, and axe finds nothing serious": async (page) => {
    const campaign = (await api("GET", "/v1/campaigns?kind=campaign")).data[0].id;
    const pages = {
      "overview": "Sent",
      "analytics": "Counts and rates",
      "providers": "sandbox",
      "accounting": "The books balance",
      "notifications": "Nothing looked for yet",
      "notifications?user=alice": "Messages to alice",
      [`notifications/${state.sent}`]: "The rendered message",
      "send": "The request",
      "outbox": "its story",
      "campaigns": "Spring",
      [`campaigns/${campaign}`]: "Its audience",
      "dead-letters": "refused",
      "users": "Suppressed addresses",
      "users/alice": "Attributes",
      "users/alice?tab=Preferences": "Quiet hours",
      "templates": "app.failed",
      "template/console.test": "In en",
      "rules": "large-recharge",
      "rules/rule/large-recharge": "Try it",
      "rules/event/wallet.recharged": "Its definition",
      "schedules": "expiring",
      "schedules/expiring": "manual",
      "brakes": "Stop something",
    };
    const wrong = [];
    for (const [address, text] of Object.entries(pages)) {
      for (const [width, scheme] of [
        [1440, "light"],
        [1440, "dark"],
        [390, "light"],
        [390, "dark"],
      ]) {
        await page.look({ width, scheme });
        await go(page, address, text);
        const name = `${address.replace(/(ntf|cmp)_\w+/, "one").replace(/\W+/g, "-")}-${width}-${scheme}`;
        const over = await page.eval(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (over > 0) wrong.push(`${name} is ${over} px too wide`);
        if (width === 1440 || scheme === "light")
          wrong.push(...(await page.axe()).map((line) => `${name}: ${line}`));
        if (shots) {
          await new Promise((done) => setTimeout(done, address === "overview" ? 5000 : 300));
          await page.shoot(join(shots, `${name}.png`));
        }
      }
    }
    await page.look({ width: 1440, scheme: "light" });
    assert.deepEqual(wrong, []);
  },

  "pages did nothing that they should not": async (page) => {
    assert.deepEqual(page.trouble, []);
    assert.deepEqual(
      page.requests.filter((url) => !url.startsWith(base)),
      [],
    );
  },
};

async function signIn(page, key) {
  await page.fill("API key", key);
  await page.press("Sign in");
  await page.see("Sign out");
}

async function go(page, address, text) {
  await page.eval((wanted) => {
    location.hash = "#/none";
    location.hash = `#/${wanted}`;
  }, address);
  await page.see(text);
}

if (shots) mkdirSync(shots, { recursive: true });
const browser = await Browser.start();
let failed = 0;
try {
  await seed();
  const page = await browser.page();
  for (const [name, test] of Object.entries(TESTS)) {
    if (!name.includes(only) && !name.startsWith("a wrong key")) continue;
    try {
      await test(page, browser);
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}\n${String(error.stack ?? error).replace(/^/gm, "        ")}`);
      if (shots) await page.shoot(join(shots, `failed-${failed}.png`));
      await page
        .eval(() => document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close()))
        .catch(() => {});
    }
  }
} finally {
  await browser.stop();
}
console.log(`console: ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
