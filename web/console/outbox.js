// What the sandbox took, as it would look.

import { call, get, segment } from "./api.js";
import { ask, button, failure, toast } from "./dialog.js";
import { card, empty, fill, h, link, pageHead } from "./dom.js";
import { enclosures, message } from "./message.js";
import { may, whyNot } from "./session.js";
import { badge, when } from "./words.js";

const LIMIT = 50;

export async function show(ground, context) {
  const head = (...actions) =>
    pageHead("Sandbox outbox", "What sandbox providers were given: nothing of it went out.", actions);
  if (!may("admin")) {
    fill(ground, head(), h("p", { class: "notice warn" }, whyNot("admin")));
    return;
  }
  const [list, shown] = [
    h("ul", { "class": "outbox-list", "aria-label": "Messages, newest first" }),
    h("div", { "class": "stack", "role": "region", "aria-label": "The message" }),
  ];
  const more = button("Show more", () => load(false));
  const body = h("div", { class: "stack" });
  let [rows, cursor, chosen] = [[], null, null];
  const clear = button(
    "Forget all…",
    async () => {
      if (
        !(await ask({
          title: "Forget these messages?",
          text: "The sandbox forgets what this tenant's messages looked like. The notifications themselves stay.",
          action: "Forget all",
        }))
      )
        return;
      await call("DELETE", "/v1/sandbox/messages");
      toast("Forgotten.");
      await load(true);
    },
    { needs: "admin", kind: "danger" },
  );
  const pick = (sent) => {
    chosen = id(sent);
    for (const item of list.querySelectorAll("button"))
      item.setAttribute("aria-pressed", String(item.dataset.id === chosen));
    fill(
      shown,
      card(
        sent.message.title || "No title",
        h(
          "p",
          {},
          badge(sent.channel, "accent"),
          " to ",
          h("b", {}, sent.to),
          " · ",
          link(`/notifications/${segment(sent.notification_id)}`, "its story"),
        ),
        enclosures(sent),
        message(sent.message, { channel: sent.channel, to: sent.to }),
      ),
    );
  };
  const paint = () => {
    fill(
      list,
      rows.map((sent) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              "type": "button",
              "class": "outbox-item",
              "data-id": id(sent),
              "aria-pressed": String(id(sent) === chosen),
              "onclick": () => pick(sent),
            },
            h("span", { class: "outbox-title", dir: "auto" }, sent.message.title || sent.message.body || "—"),
            h("span", { class: "soft small" }, `${sent.channel} to ${sent.to}`),
            h("span", { class: "soft small" }, when(sent.at)),
          ),
        ),
      ),
    );
    more.hidden = !cursor;
    if (rows.length === 0)
      fill(
        body,
        empty(
          "The outbox is empty",
          "Send a test, and look at it here. Only providers of the kind “sandbox” put messages here, and only those of this node are seen.",
          link("/send", "Send a test"),
        ),
      );
    else if (!body.contains(list))
      fill(body, h("div", { class: "outbox" }, h("div", { class: "stack" }, list, more), shown));
  };
  const load = async (anew) => {
    try {
      const page = await get(
        "/v1/sandbox/messages",
        { limit: LIMIT, cursor: anew ? undefined : cursor },
        context.signal,
      );
      rows = (anew ? [] : rows).concat(page.data);
      cursor = page.next_cursor;
      paint();
      if (rows.length > 0 && !rows.some((sent) => id(sent) === chosen)) pick(rows[0]);
    } catch (error) {
      if (!context.signal.aborted)
        fill(
          body,
          failure(error, () => load(true)),
        );
    }
  };
  fill(
    ground,
    head(
      button("Read again", () => load(true)),
      clear,
    ),
    body,
  );
  await load(true);
}

const id = (sent) => `${sent.task_id}.${sent.attempt}`;
