// What is known of one user, and changing it.

import { call, get, isAbort, segment } from "./api.js";
import { ask, button, failure, toast } from "./dialog.js";
import { card, empty, fill, h, json, link, pageHead } from "./dom.js";
import { CHANNELS, area, field, form, readJson, select, text } from "./form.js";
import { tabs } from "./message.js";
import { history } from "./notifications.js";
import { whoAmI } from "./session.js";
import { PagedList, Table } from "./table.js";
import { badge, when } from "./words.js";
import { lift } from "./suppressions.js";

/** The tabs. */
export const NAMES = ["Contact", "Devices", "Preferences", "Consents", "History", "Subscriptions", "Suppressions"];

/** The page of one user, at this tab. */
export function one(ground, context, id, chosen) {
  const path = `/v1/users/${segment(id)}`;
  const builders = [
    contact,
    devices,
    preferences,
    consents,
    async (panel) => {
      const list = history(id, context);
      fill(panel, list.element);
      await list.reload();
    },
    subscriptions,
    suppressed,
  ];
  const entries = NAMES.map((name, index) => [
    name,
    () => {
      const panel = h("div", { class: "stack" });
      const load = () =>
        builders[index](panel, { path, id, context, load }).catch((error) => {
          if (!isAbort(error)) fill(panel, failure(error, load));
        });
      load();
      return panel;
    },
  ]);
  const erase = button(
    "Erase…",
    async () => {
      const answer = await ask({
        title: "Erase this user?",
        text: `All that is held of ${id} is taken back: contact, attributes, devices, preferences, consents, subscriptions, the inbox; what is still to be sent is cancelled. This cannot be taken back. Type the id to go on.`,
        action: "Erase",
        input: { label: "User id", properties: {} },
      });
      if (!answer) return;
      if (answer.text !== id) {
        toast("That is not the id: nothing was erased.", "warn");
        return;
      }
      const done = await call("DELETE", path);
      fill(
        ground,
        pageHead("Erased", id, link("/users", "Users")),
        card("What was erased, and what was not", json(done)),
      );
    },
    { needs: "admin", kind: "danger" },
  );
  fill(
    ground,
    pageHead(
      id,
      "What is known of this user.",
      link("/users", "Another user"),
      button("Send a test", () => (location.hash = `#/send?user=${segment(id)}`), { needs: "send" }),
      erase,
    ),
    h("div", { class: "card" }, tabs("What is known", entries, Math.max(0, chosen))),
  );
}

/** What is there, or `null` where nothing is known. */
async function known(path, signal) {
  try {
    return await get(path, {}, signal);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

async function contact(panel, { path, context, load }) {
  const user = await known(path, context.signal);
  const controls = Object.fromEntries(
    ["email", "phone", "locale", "timezone"].map((name) => [name, text({ value: user?.[name] ?? "" })]),
  );
  const attributes = area({ rows: 8, value: JSON.stringify(user?.attributes ?? {}, null, 2) });
  const trouble = h("div", { class: "span" });
  const save = button(
    "Save",
    async () => {
      try {
        const body = { attributes: readJson(attributes, "Attributes") ?? {} };
        for (const [name, control] of Object.entries(controls)) body[name] = control.value.trim() || null;
        await call("PUT", path, { body });
        toast("Saved.");
        await load();
      } catch (error) {
        fill(trouble, failure(error));
      }
    },
    { needs: "send", kind: "primary", type: "submit" },
  );
  fill(
    panel,
    !user &&
      h(
        "p",
        { class: "notice" },
        "Nothing is known of this user yet. Write something down here, or send it with PUT /v1/users.",
      ),
    user?.created_at && h("p", { class: "soft small" }, "Known since ", when(user.created_at)),
    form(
      [
        field("Mail address", controls.email),
        field("Phone", controls.phone, "As +4930123456."),
        field("Language", controls.locale, "As de-DE."),
        field("Time zone", controls.timezone, "As Europe/Berlin."),
        h("div", { class: "span" }, field("Attributes (JSON)", attributes, "What rules and segments look at.")),
        trouble,
      ],
      [save],
    ),
  );
}

async function devices(panel, { path, context, load }) {
  const { data } = await get(`${path}/devices`, {}, context.signal);
  const table = new Table({
    caption: "Devices, by id",
    columns: [
      { label: "Device", value: (row) => h("code", {}, row.id), sort: (row) => row.id },
      { label: "Platform", value: (row) => row.platform, sort: (row) => row.platform },
      { label: "State", value: (row) => badge(row.active ? "active" : "inactive"), sort: (row) => String(row.active) },
      { label: "Last given", value: (row) => when(row.last_used_at), sort: (row) => row.last_used_at },
      { label: "Dead since", value: (row) => when(row.inactive_since), sort: (row) => row.inactive_since },
      {
        label: "",
        value: (row) =>
          button(
            "Remove…",
            async () => {
              if (
                !(await ask({
                  title: `Remove ${row.id}?`,
                  text: "Nothing is pushed to it any more, until the app registers it again.",
                  action: "Remove",
                }))
              )
                return;
              await call("DELETE", `${path}/devices/${segment(row.id)}`);
              await load();
            },
            { needs: "send" },
          ),
      },
    ],
  });
  table.set(data);
  fill(
    panel,
    data.length > 0
      ? table.element
      : empty(
          "No devices",
          "Apps register themselves with PUT /v1/users/{id}/devices/{device_id} whenever they start.",
        ),
  );
}

async function preferences(panel, { path, context, load }) {
  const said = await get(`${path}/preferences`, {}, context.signal);
  const categories = [
    ...new Set([...whoAmI().categories.map(({ name }) => name), ...said.preferences.map(({ category }) => category)]),
  ];
  const fixed = new Set(
    whoAmI()
      .categories.filter(({ opt_out: free }) => !free)
      .map(({ name }) => name),
  );
  const state = (category, channel) =>
    said.preferences.find((one) => one.category === category && one.channel === channel)?.enabled;
  const changed = new Map();
  const box = (category, channel) => {
    if (fixed.has(category)) return h("span", { class: "soft" }, "always");
    const now = state(category, channel);
    const control = select(
      [
        ["", "default"],
        ["on", "on"],
        ["off", "off"],
      ],
      now === undefined ? "" : now ? "on" : "off",
      {
        "aria-label": `${category}, ${channel}`,
        "onchange": () =>
          changed.set(`${category} ${channel}`, {
            category,
            channel,
            enabled: { "": null, "on": true, "off": false }[control.value],
          }),
      },
    );
    return control;
  };
  const table = new Table({
    caption: "Which category on which channel",
    columns: [
      { label: "Category", value: (row) => row },
      ...CHANNELS.map((channel) => ({ label: channel, value: (row) => box(row, channel) })),
    ],
  });
  table.set(categories);
  const quiet = said.quiet_hours;
  const controls = {
    kind: select(
      [
        ["", "as configured"],
        ["own", "their own"],
        ["never", "none at all"],
      ],
      quiet === null ? "" : quiet === "never" ? "never" : "own",
    ),
    from: h("input", { type: "time", value: quiet?.from ?? "22:00" }),
    to: h("input", { type: "time", value: quiet?.to ?? "08:00" }),
    hour: h("input", { type: "number", min: 0, max: 23, value: said.digest_hour ?? "" }),
    channel: select([["", "none"], ...CHANNELS], said.preferred_channel ?? ""),
  };
  const settle = () =>
    [controls.from, controls.to].forEach((control) => (control.disabled = controls.kind.value !== "own"));
  controls.kind.onchange = settle;
  settle();
  const trouble = h("div", { class: "span" });
  const save = button(
    "Save",
    async () => {
      const kind = controls.kind.value;
      const body = {
        preferences: [...changed.values()],
        quiet_hours: kind === "own" ? { from: controls.from.value, to: controls.to.value } : kind || null,
        digest_hour: controls.hour.value === "" ? null : Number(controls.hour.value),
        preferred_channel: controls.channel.value || null,
      };
      try {
        await call("PUT", `${path}/preferences`, { body });
        toast("Saved.");
        await load();
      } catch (error) {
        fill(trouble, failure(error));
      }
    },
    { needs: "send", kind: "primary", type: "submit" },
  );
  fill(
    panel,
    table.element,
    form(
      [
        field("Quiet hours", controls.kind),
        field("From", controls.from),
        field("To", controls.to),
        field("Hour of digests", controls.hour, "0 to 23, in the user's zone."),
        field("Preferred channel", controls.channel),
        trouble,
      ],
      [save],
    ),
  );
}

async function consents(panel, { path, context, load }) {
  let data = [];
  try {
    ({ data } = await get(`${path}/consents`, {}, context.signal));
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  const withdraw = (row) =>
    button(
      "Withdraw…",
      async () => {
        const text = "Categories that require it are not sent to the user any more. That it was given stays on record.";
        if (!(await ask({ title: `Withdraw ${row.purpose}?`, text, action: "Withdraw" }))) return;
        await call("DELETE", `${path}/consents/${segment(row.purpose)}`);
        await load();
      },
      { needs: "send" },
    );
  const table = new Table({
    caption: "What counts, by purpose",
    columns: [
      { label: "Purpose", value: (row) => h("code", {}, row.purpose), sort: (row) => row.purpose },
      { label: "Consent", value: (row) => (row.granted ? "granted" : "withdrawn"), sort: (row) => String(row.granted) },
      { label: "When", value: (row) => when(row.at), sort: (row) => row.at },
      { label: "Text", value: (row) => row.text_version, sort: (row) => row.text_version },
      { label: "Where", value: (row) => row.source, sort: (row) => row.source },
      { label: "", value: (row) => row.granted && withdraw(row) },
    ],
  });
  table.set(data);
  const none = empty("No consents", "What the user consented to is recorded with PUT /v1/users/{id}/consents/{purpose}.");
  fill(panel, data.length > 0 ? table.element : none);
}

async function subscriptions(panel, { path, id, context }) {
  const subject = text({ required: true, placeholder: "order:42" });
  const channel = select(["app", "email", "sms", "none"], "app");
  const list = new PagedList({
    path: `${path}/subscriptions`,
    context,
    none: () => empty("Follows nothing", "Who follows a subject is told of events about it. Add one above."),
    table: new Table({
      caption: "Subjects, in their order",
      columns: [
        { label: "Subject", value: (row) => row.subject, sort: (row) => row.subject },
        { label: "Channel", value: (row) => row.channel, sort: (row) => row.channel },
        { label: "Status", value: (row) => badge(row.status), sort: (row) => row.status },
        { label: "Since", value: (row) => when(row.since), sort: (row) => row.since },
        {
          label: "",
          value: (row) =>
            button(
              "Unfollow…",
              async () => {
                if (
                  !(await ask({
                    title: `Unfollow ${row.subject}?`,
                    text: "The user is told of its events no more.",
                    action: "Unfollow",
                  }))
                )
                  return;
                await call("DELETE", `/v1/subjects/${segment(row.subject)}/subscriptions/${segment(id)}`);
                await list.reload();
              },
              { needs: "send" },
            ),
        },
      ],
    }),
  });
  const follow = button(
    "Follow",
    async () => {
      if (!subject.value.trim()) return;
      await call("PUT", `/v1/subjects/${segment(subject.value.trim())}/subscriptions/${segment(id)}`, {
        body: { channel: channel.value, status: "active" },
      });
      await list.reload();
    },
    { needs: "send", type: "submit" },
  );
  fill(panel, form([field("Subject", subject), field("Channel", channel)], [follow]), list.element);
  await list.reload();
}

async function suppressed(panel, { path, context, load }) {
  const user = await known(path, context.signal);
  const addresses = ["email", "phone"].filter((kind) => user?.[kind]).map((kind) => [kind, user[kind]]);
  if (addresses.length === 0) {
    fill(panel, empty("No address", "This user has neither a mail address nor a phone number here."));
    return;
  }
  const states = await Promise.all(
    addresses.map(async ([kind, address]) => [
      kind,
      address,
      await known(`/v1/suppressions/${kind}/${segment(address)}`, context.signal),
    ]),
  );
  fill(
    panel,
    states.map(([kind, address, found]) =>
      card(
        address,
        found?.active
          ? [
              h(
                "p",
                {},
                badge("suppressed", "warn"),
                ` ${found.reason.replaceAll("_", " ")}, since `,
                when(found.since),
              ),
              button("Lift…", () => lift(kind, address, load), { needs: "admin" }),
            ]
          : [
              h("p", {}, "Nothing stands against it."),
              button(
                "Suppress…",
                async () => {
                  if (
                    !(await ask({
                      title: `Send nothing to ${address}?`,
                      text: "Whoever asks, until it is lifted.",
                      action: "Suppress",
                    }))
                  )
                    return;
                  await call("PUT", `/v1/suppressions/${kind}/${segment(address)}`, { body: { reason: "manual" } });
                  await load();
                },
                { needs: "send" },
              ),
            ],
      ),
    ),
  );
}
