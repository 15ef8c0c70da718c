// Drives a Chromium over its debugging pipe: no package, no port, nothing but node (18 or newer) and a browser.
//
// In: a browser, from `CHROMIUM` or the usual names. Out: pages that tests act on and look at. Promise: every wait ends, and what a
// page did that it should not (an error, a call to another host, something its policy forbids) is kept in `page.trouble`.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome-headless-shell"];
const WAIT_MS = 15_000;
/** axe-core, which looks at what a page says of itself to those who do not see it. */
const AXE = fileURLToPath(new URL("vendor/axe.min.js", import.meta.url));

function browserPath() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
  if (!found) throw new Error("there is no Chromium: install one (apt-get install chromium), or name it in CHROMIUM");
  return found;
}

/** A browser with a profile of its own, which is gone after it. */
export class Browser {
  static async start() {
    const browser = new Browser();
    browser.profile = mkdtempSync(join(tmpdir(), "fanfare-browser-"));
    // `--no-sandbox`: tests run as root in containers, where Chromium's own sandbox cannot be made. They open only our pages.
    const flags = [
      "--headless=new",
      "--remote-debugging-pipe",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--hide-scrollbars",
      "--disable-background-networking",
      "--disable-component-update",
      "--lang=en-US",
      `--user-data-dir=${browser.profile}`,
      "about:blank",
    ];
    browser.process = spawn(browserPath(), flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    browser.waiting = new Map();
    browser.pages = new Map();
    browser.last = 0;
    let rest = "";
    browser.process.stdio[4].setEncoding("utf8").on("data", (data) => {
      const texts = (rest + data).split("\0");
      rest = texts.pop();
      texts.forEach((text) => browser.take(JSON.parse(text)));
    });
    browser.process.on("exit", () => {
      for (const { reject } of browser.waiting.values()) reject(new Error("the browser ended"));
    });
    await browser.call("Browser.getVersion");
    return browser;
  }

  take(message) {
    const waiting = this.waiting.get(message.id);
    if (waiting) {
      this.waiting.delete(message.id);
      if (message.error) waiting.reject(new Error(`${waiting.method}: ${message.error.message}`));
      else waiting.resolve(message.result);
    } else if (message.method) {
      this.pages.get(message.sessionId)?.take(message);
    }
  }

  call(method, params = {}, sessionId) {
    this.last += 1;
    const id = this.last;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method} was not answered in time`)), 2 * WAIT_MS);
      const over = (then) => (value) => {
        clearTimeout(late);
        then(value);
      };
      this.waiting.set(id, { method, resolve: over(resolve), reject: over(reject) });
    });
  }

  /** A page with storage of its own. */
  async page({ width = 1440, height = 900, scheme = "light" } = {}) {
    const { browserContextId } = await this.call("Target.createBrowserContext");
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId, targetId);
    this.pages.set(sessionId, page);
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await page.call(`${domain}.enable`);
    await page.look({ width, height, scheme });
    return page;
  }

  async stop() {
    await this.call("Browser.close").catch(() => {});
    await new Promise((done) => (this.process.exitCode === null ? this.process.once("exit", done) : done()));
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Page {
  constructor(browser, session, target) {
    Object.assign(this, { browser, session, target, trouble: [], requests: [] });
  }

  call(method, params) {
    return this.browser.call(method, params, this.session);
  }

  take({ method, params }) {
    if (method === "Runtime.exceptionThrown")
      this.trouble.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level === "error" && params.entry.source !== "network")
      this.trouble.push(params.entry.text);
    if (
      method === "Network.requestWillBeSent" &&
      !params.request.url.startsWith("data:") &&
      !params.request.url.startsWith("blob:")
    )
      this.requests.push(params.request.url);
  }

  /** Size and scheme. */
  async look({ width, height = 900, scheme }) {
    if (width)
      await this.call("Emulation.setDeviceMetricsOverride", {
        width,
        height,
        deviceScaleFactor: 1,
        mobile: width < 500,
      });
    if (scheme)
      await this.call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  }

  async goto(url) {
    await this.call("Page.navigate", { url });
    await this.until(() => document.readyState === "complete", "the page is loaded");
  }

  /** What a function gives in the page; its arguments must be JSON. */
  async eval(work, ...values) {
    const expression =
      typeof work === "string" ? work : `(${work})(${values.map((value) => JSON.stringify(value ?? null)).join(",")})`;
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** What a function gives in a frame whose address ends so. A frame of another origin is a target of its own. */
  async inFrame(address, work) {
    const { targetInfos } = await this.browser.call("Target.getTargets");
    const frame = targetInfos.find(({ type, url }) => type === "iframe" && url.endsWith(address));
    if (!frame) throw new Error(`there is no frame ${address}`);
    const { sessionId } = await this.browser.call("Target.attachToTarget", { targetId: frame.targetId, flatten: true });
    const { result, exceptionDetails } = await this.browser.call(
      "Runtime.evaluate",
      { expression: `(${work})()`, returnByValue: true },
      sessionId,
    );
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until the function gives something that is true, and answers it. */
  async until(work, what, ...values) {
    const end = Date.now() + WAIT_MS;
    let problem = "";
    for (;;) {
      try {
        const value = await this.eval(work, ...values);
        if (value) return value;
      } catch (error) {
        // While a page is left, there is nothing to ask.
        problem = ` (${error.message.split("\n")[0]})`;
      }
      if (Date.now() > end) throw new Error(`waited in vain until ${what}${problem}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** Waits for a text in the page. */
  see(text) {
    return this.until((wanted) => document.body.innerText.includes(wanted), `the page says “${text}”`, text);
  }

  /** Presses the visible button, link or tab with this name. In a dialog, if one is open. */
  async press(name) {
    await this.until(
      (wanted) => {
        const ground = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
        const own = (element) =>
          [...element.childNodes]
            .filter((node) => !node.classList?.contains("visually-hidden"))
            .map((node) => node.textContent)
            .join("")
            .trim();
        const found = [...ground.querySelectorAll("button, a, summary")].find(
          (element) => own(element) === wanted && element.offsetParent !== null && !element.disabled,
        );
        found?.click();
        return Boolean(found);
      },
      `there is “${name}” to press`,
      name,
    );
  }

  /** Fills in the field with this label, as somebody would who types. */
  async fill(label, text) {
    await this.until(
      (wanted, value) => {
        const ground = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
        const found = [...ground.querySelectorAll("label[for]")].find(
          (one) => one.textContent.trim() === wanted && one.offsetParent !== null,
        );
        const control = found && document.getElementById(found.htmlFor);
        if (!control) return false;
        control.focus();
        control.value = value;
        control.dispatchEvent(new Event("input", { bubbles: true }));
        control.dispatchEvent(new Event("change", { bubbles: true }));
        return true;
      },
      `there is a field “${label}”`,
      label,
      text,
    );
  }

  /** A picture of the whole page. */
  async shoot(path) {
    const { cssContentSize } = await this.call("Page.getLayoutMetrics");
    const clip = { x: 0, y: 0, width: cssContentSize.width, height: Math.min(cssContentSize.height, 4000), scale: 1 };
    const { data } = await this.call("Page.captureScreenshot", { format: "png", captureBeyondViewport: true, clip });
    writeFileSync(path, Buffer.from(data, "base64"));
  }

  /** Serious findings of axe, as lines. */
  async axe() {
    await this.eval(`${readFileSync(AXE, "utf8")}; undefined`);
    const found = await this.eval(async () => {
      const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"], iframes: false });
      return violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(
          ({ id, impact, nodes }) =>
            `${impact}: ${id}: ${nodes
              .slice(0, 3)
              .map(
                ({ target, failureSummary }) =>
                  `${target} (${(failureSummary ?? "").replace(/\s+/g, " ").slice(0, 240)})`,
              )
              .join("; ")}`,
        );
    });
    return found;
  }

  close() {
    this.browser.pages.delete(this.session);
    return this.browser.call("Target.closeTarget", { targetId: this.target });
  }
}
