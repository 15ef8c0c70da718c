// Brakes: what is stopped by hand, and stopping more.

import { call, get } from "./api.js";
import { ask, button, failure, toast } from "./dialog.js";
import { card, empty, fill, h, pageHead } from "./dom.js";
import { CHANNELS, field, form, select, text } from "./form.js";
import { whoAmI } from "./session.js";
import { Table } from "./table.js";
import { badge, when } from "./words.js";

const KINDS = ["category", "template", "channel", "provider", "campaign"];
const QUESTIONS = {
  pause: ["Pause", "None of them is handed to a provider until you lift it, on any node. They wait, and may expire."],
  resume: ["Lift", "What was held goes on, at the pace of the providers' rates."],
  recall: [
    "Recall",
    "What was accepted until now and was not sent is cancelled. This cannot be taken back. What is accepted later is sent.",
  ],
};

export async function show(ground, context) {
  const list = h("div", { class: "stack" });
  const table = new Table({
    caption: "What is stopped",
    columns: [
      { label: "What", value: (row) => named(row.scope), sort: (row) => named(row.scope) },
      {
        label: "State",
        value: (row) => [row.paused && badge("paused"), " ", row.recalled && badge("recalled")],
        sort: (row) => String(Boolean(row.paused)),
      },
      {
        label: "Since",
        value: (row) => when((row.paused ?? row.recalled)?.at),
        sort: (row) => (row.paused ?? row.recalled)?.at,
      },
      { label: "Why", wide: true, value: (row) => (row.paused ?? row.recalled)?.reason ?? "—" },
      {
        label: "",
        value: (row) => row.paused && button("Lift…", () => change("resume", row.scope, load), { needs: "admin" }),
      },
    ],
  });
  const load = async () => {
    try {
      const { data } = await get("/v1/brakes", {}, context.signal);
      table.set(data);
      fill(
        list,
        data.length > 0
          ? table.element
          : empty(
              "Nothing is stopped",
              "If something goes wrong, stop it below: by category, template, channel, provider or campaign, within seconds and on every node.",
            ),
      );
    } catch (error) {
      if (!context.signal.aborted) fill(list, failure(error, load));
    }
  };
  fill(
    ground,
    pageHead("Brakes", "What is stopped by hand."),
    card("Stopped now", list),
    card("Stop something", setter(load)),
  );
  await load();
}

function setter(load) {
  const value = h("div", {});
  let read = () => "";
  const categories = whoAmI().categories.map(({ name }) => name);
  const choose = () => {
    const control =
      kind.value === "category"
        ? select(categories, categories[0])
        : kind.value === "channel"
          ? select(CHANNELS, CHANNELS[0])
          : text({ required: true });
    read = () => control.value.trim();
    fill(
      value,
      field(
        `Which ${kind.value}`,
        control,
        { template: "Its code.", provider: "Its name in the configuration.", campaign: "Its id, cmp_…" }[kind.value],
      ),
    );
  };
  const kind = select(KINDS, "category", { onchange: choose });
  const why = text({ maxlength: 500 });
  choose();
  const act = (action) => async () => {
    if (!read()) {
      toast(`Say which ${kind.value} to stop.`, "warn");
      return;
    }
    await change(action, { [kind.value]: read() }, load, why.value.trim());
  };
  return form(
    [field("By", kind), value, h("div", { class: "span" }, field("Why (for others)", why))],
    [
      button("Pause…", act("pause"), { needs: "admin", kind: "danger", type: "submit" }),
      button("Recall…", act("recall"), { needs: "admin", kind: "danger" }),
    ],
  );
}

async function change(action, scope, load, why) {
  const [verb, text] = QUESTIONS[action];
  if (!(await ask({ title: `${verb} ${named(scope)}?`, text, action: verb, danger: action !== "resume" }))) return;
  const { effect } = await call("POST", "/v1/brakes", {
    body: { action, scope, reason: why || undefined },
    once: true,
  });
  toast(effect);
  await load();
}

function named(scope) {
  return Object.entries(scope)
    .map(([kind, value]) => `${kind} “${value}”`)
    .join(", ");
}
