// One template: its parts per language and variant, how they would look, its versions, and saving.

import { call, get, isAbort, problemInWords, segment } from "./api.js";
import { ask, button, failure, toast } from "./dialog.js";
import { card, fill, h, link, pageHead } from "./dom.js";
import { area, field, numbered, numberedField, readJson, select, text } from "./form.js";
import { message } from "./message.js";
import { badge } from "./words.js";
import { versions } from "./template-versions.js";

const PARTS = [
  ["title", "Title", 2],
  ["body", "Text", 7],
  ["html", "HTML or MJML", 14],
  ["sms", "SMS", 3],
  ["voice", "Call", 3],
];
/** How long after the last key the preview is made. */
const PAUSE_MS = 400;

export async function show(ground, context) {
  const code = context.rest[0] ?? "";
  await new Editor(ground, context, code).load();
}

class Editor {
  constructor(ground, context, code) {
    Object.assign(this, { ground, context, code, path: `/v1/templates/${segment(code)}` });
    this.preview = h("div", { "class": "stack", "role": "region", "aria-label": "Preview", "aria-live": "off" });
    this.trouble = h("div", { role: "status" });
    this.parts = h("div", { class: "stack" });
    this.data = area({ rows: 5 });
    this.settings = numbered({ rows: 12 });
    this.openPart = 0;
  }

  async load() {
    this.whole = await get(this.path, {}, this.context.signal);
    if (!this.whole.template) throw new Error(`it cannot be read: ${this.whole.problem}`);
    this.take(this.whole.template);
    this.paint();
    await this.render();
  }

  /** Takes a source to be edited. */
  take(template) {
    this.template = structuredClone(template);
    this.locale = this.template.locales[this.locale]
      ? this.locale
      : (this.template.default_locale ?? Object.keys(this.template.locales)[0]);
    this.variant = this.variants().includes(this.variant) ? this.variant : "";
    const { locales, experiment, ...rest } = this.template;
    const shown = experiment
      ? {
          ...rest,
          experiment: { ...experiment, variants: experiment.variants.map(({ locales: own, ...variant }) => variant) },
        }
      : rest;
    this.settings.control.value = JSON.stringify(shown, null, 2);
    this.settings.paint();
  }

  variants() {
    return this.template.experiment?.variants.map(({ name }) => name) ?? [];
  }

  /** Where the parts of the chosen language and variant stand; made if it is not there. */
  place() {
    if (!this.variant) return (this.template.locales[this.locale] ??= {});
    const variant = this.template.experiment.variants.find(({ name }) => name === this.variant);
    variant.locales ??= {};
    return (variant.locales[this.locale] ??= {});
  }

  paint() {
    const { whole } = this;
    const needs = { needs: "admin" };
    const tag = whole.version === 0 ? "built in" : `version ${whole.version}`;
    const actions = [
      link("/templates", "All templates"),
      button("Send a test", () => (location.hash = `#/send?template=${segment(this.code)}`), { needs: "send" }),
      button("Copy…", () => this.copy(), needs),
      whole.origin === "saved" && button(whole.active ? "Switch off…" : "Switch on", () => this.turn(), needs),
      button("Check", () => this.check()),
      button("Save…", () => this.save(), { ...needs, kind: "primary" }),
    ];
    const variants = [["", "its own parts"], ...this.variants()];
    const locale = select(Object.keys(this.template.locales).sort(), this.locale, {
      onchange: () => this.choose(locale.value, this.variant),
    });
    const variant = select(variants, this.variant, { onchange: () => this.choose(this.locale, variant.value) });
    const examples = Object.fromEntries((this.template.variables ?? []).map(({ name, example }) => [name, example]));
    if (!this.data.value) this.data.value = JSON.stringify(examples, null, 2);
    this.data.oninput = () => this.soon();
    this.settings.control.oninput = () => this.soon();
    fill(
      this.ground,
      pageHead(
        this.code,
        [whole.description, " ", badge(whole.active ? "active" : "off"), " ", badge(tag, "")],
        actions,
      ),
      whole.used_by?.length > 0 &&
        h(
          "p",
          { class: "notice" },
          "Included by ",
          whole.used_by.map((code) => [link(`/template/${segment(code)}`, code), " "]),
        ),
      h(
        "div",
        { class: "row" },
        field("Language", locale),
        field("Variant", variant),
        h(
          "div",
          { class: "actions" },
          button("Add a language…", () => this.addLocale()),
        ),
      ),
      h(
        "div",
        { class: "editor" },
        h(
          "div",
          { class: "stack" },
          card("Parts", this.parts),
          card("Settings and variables (JSON)", numberedField("Settings", this.settings)),
        ),
        h(
          "div",
          { class: "stack" },
          card(
            "Preview",
            this.trouble,
            this.preview,
            field("Data (JSON)", this.data, "The examples of the variables, to begin with."),
          ),
        ),
      ),
      card("Versions", versions(this)),
    );
    this.paintParts();
  }

  choose(locale, variant) {
    this.locale = locale;
    this.variant = variant;
    this.paintParts();
    this.render();
  }

  paintParts() {
    const place = this.place();
    fill(
      this.parts,
      PARTS.map(([part, name, rows]) => {
        const box = numbered({
          rows,
          value: place[part] ?? "",
          dir: "auto",
          oninput: () => this.write(part, box.control.value),
        });
        return numberedField(name, box);
      }),
      h(
        "details",
        {},
        h("summary", {}, "Push"),
        ["title", "body"].map((part) => {
          const input = text({
            value: place.push?.[part] ?? "",
            dir: "auto",
            oninput: () => this.writePush(part, input.value),
          });
          return field(
            part === "title" ? "Title of the push" : "Text of the push",
            input,
            "Empty: as the title and the text above.",
          );
        }),
      ),
    );
  }

  write(part, value) {
    const place = this.place();
    if (value === "") delete place[part];
    else place[part] = value;
    this.soon();
  }

  writePush(part, value) {
    const place = this.place();
    const push = { ...place.push, [part]: value || undefined };
    if (push.title || push.body || push.data) place.push = push;
    else delete place.push;
    this.soon();
  }

  soon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.render(), PAUSE_MS);
  }

  /** What is edited, as the API takes it. */
  source() {
    const settings = readJson(this.settings.control, "Settings") ?? {};
    const experiment = settings.experiment && {
      ...settings.experiment,
      variants: settings.experiment.variants.map((variant) => {
        const own = this.template.experiment?.variants.find(({ name }) => name === variant.name)?.locales;
        return own && Object.keys(own).length > 0 ? { ...variant, locales: filled(own) } : variant;
      }),
    };
    return {
      ...settings,
      code: this.code,
      locales: filled(this.template.locales),
      ...(experiment ? { experiment } : {}),
    };
  }

  async render() {
    const [locale, variant] = [this.locale, this.variant];
    try {
      const body = {
        template: this.source(),
        locale,
        variant: variant || undefined,
        data: readJson(this.data, "Data"),
      };
      const shown = await call("POST", "/v1/templates/render", { body, signal: this.context.signal });
      // A later change may have been answered sooner.
      if (locale !== this.locale || variant !== this.variant) return;
      const chosen = this.preview.querySelector(".tabbed")?.chosen ?? 0;
      const made = message(shown.parts, { direction: shown.direction, channel: "email" });
      fill(
        this.preview,
        h(
          "p",
          { class: "soft small" },
          `In ${shown.locale}${shown.sms ? `; SMS: ${shown.sms.segments} segment(s), ${shown.sms.encoding}, ${shown.sms.characters} characters` : ""}`,
        ),
        made,
      );
      if (chosen > 0 && made.openTab && chosen < made.querySelectorAll("[role=tab]").length) made.openTab(chosen);
      fill(this.trouble, notes(shown.warnings, "warn", "Worth a look"));
    } catch (error) {
      if (!isAbort(error)) fill(this.trouble, failure(error));
    }
  }

  async check() {
    const said = await call("POST", "/v1/templates/validate", { body: { template: this.source() } });
    fill(
      this.trouble,
      said.valid ? h("p", { class: "notice good", role: "status" }, "It can be saved.") : null,
      notes(said.errors, "bad", "It cannot be saved"),
      notes(said.warnings, "warn", "Worth a look"),
    );
    this.trouble.scrollIntoView({ block: "nearest" });
  }

  async save() {
    const template = this.source();
    const answer = await ask({
      title: "Save as a new version?",
      text: "It is in force at once: messages that wait are made of it, too. Earlier versions can be put back.",
      action: "Save",
      danger: false,
      input: { label: "Why (for others)", properties: { maxlength: 500 } },
    });
    if (!answer) return;
    try {
      const saved = await call("PUT", this.path, {
        body: { template, comment: answer.text || undefined },
        headers: this.whole.origin === "saved" ? { "if-match": this.whole.etag } : {},
      });
      toast(
        saved.changed
          ? `Saved: version ${saved.version} is in force.`
          : "It says what the version in force says: nothing was changed.",
      );
      await this.load();
    } catch (error) {
      if (error.status === 412)
        toast("Somebody saved another version meanwhile. Open the template again, and make your change there.", "bad");
      fill(this.trouble, failure(error));
    }
  }

  async turn() {
    const { active } = this.whole;
    if (
      active &&
      !(await ask({
        title: "Switch this template off?",
        text: "Requests for it are refused until it is switched on again.",
        action: "Switch off",
      }))
    )
      return;
    await call("POST", `${this.path}/${active ? "deactivate" : "activate"}`, {
      headers: { "if-match": this.whole.etag },
      once: true,
    });
    toast(active ? "Switched off." : "Switched on.");
    await this.load();
  }

  async copy() {
    const answer = await ask({
      title: "Copy this template",
      text: "What is in force, as the first version under another code.",
      action: "Copy",
      danger: false,
      input: { label: "Code of the copy", properties: { required: true, pattern: "[A-Za-z0-9._\\-]{1,100}" } },
    });
    if (!answer) return;
    await call("POST", `${this.path}/copy`, { body: { code: answer.text }, once: true });
    location.hash = `#/template/${segment(answer.text)}`;
  }

  async addLocale() {
    const answer = await ask({
      title: "Add a language",
      text: "It begins with the parts of the language shown now.",
      action: "Add",
      danger: false,
      input: { label: "Language tag (as de, pt-BR, ar)", properties: { required: true } },
    });
    if (!answer) return;
    this.template.locales[answer.text] ??= structuredClone(this.place());
    this.locale = answer.text;
    this.paint();
    this.render();
  }
}

/** Without languages that nothing was written for. */
function filled(locales) {
  return Object.fromEntries(Object.entries(locales).filter(([, parts]) => Object.keys(parts).length > 0));
}

function notes(problems, tone, title) {
  if (!problems?.length) return null;
  return h(
    "div",
    { class: `notice ${tone}` },
    h("p", {}, h("strong", {}, title)),
    h(
      "ul",
      { class: "plain-list" },
      problems.map((problem) => h("li", {}, problemInWords(problem))),
    ),
  );
}
