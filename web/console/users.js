// Finding a user, and addresses that nothing is sent to.

import { segment } from "./api.js";
import { card, fill, h, pageHead } from "./dom.js";
import { field, text } from "./form.js";
import { suppressions, suppressor } from "./suppressions.js";
import { NAMES, one } from "./user.js";

export async function show(ground, context) {
  if (context.rest[0]) {
    one(ground, context, context.rest[0], NAMES.indexOf(context.query.get("tab") ?? NAMES[0]));
    return;
  }
  const id = text({ required: true });
  const search = h(
    "form",
    {
      class: "card search",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        if (id.value.trim()) location.hash = `#/users/${segment(id.value.trim())}`;
      },
    },
    field("User id", id, "As your application sends it. A new one may be written down, too."),
    h("button", { type: "submit", class: "primary" }, "Show"),
  );
  const list = suppressions(context);
  fill(
    ground,
    pageHead("Users", "Contact, devices, preferences, subscriptions; and addresses that nothing is sent to."),
    search,
    card(
      "Suppress an address",
      suppressor(() => list.reload()),
    ),
    card("Suppressed addresses", list.element),
  );
  await list.reload();
}
