// Addresses that nothing is sent to: listing, adding and lifting them.

import { call, segment } from "./api.js";
import { ask, button, toast } from "./dialog.js";
import { empty, h } from "./dom.js";
import { field, form, select, text } from "./form.js";
import { PagedList, Table } from "./table.js";
import { when } from "./words.js";

const REASONS = ["manual", "opt_out", "hard_bounce", "complaint"];

/** Lifts one, once whoever asked knows what it means. */
export async function lift(kind, address, done) {
  if (
    !(await ask({
      title: `Send to ${address} again?`,
      text: "If its owner complained, or it bounced, sending there again harms how your mail is taken.",
      action: "Lift",
    }))
  )
    return;
  await call("DELETE", `/v1/suppressions/${kind}/${segment(address)}`);
  toast("Lifted.");
  await done();
}

/** All of them, page by page. */
export function suppressions(context) {
  const list = new PagedList({
    path: "/v1/suppressions",
    context,
    none: () =>
      empty(
        "No suppressed addresses",
        "Addresses come here by hard bounces, complaints and unsubscribing, or by hand, above.",
      ),
    table: new Table({
      caption: "Suppressed addresses",
      columns: [
        { label: "Address", value: (row) => row.address ?? h("i", {}, "erased"), sort: (row) => row.address },
        { label: "Kind", value: (row) => row.kind, sort: (row) => row.kind },
        { label: "Why", value: (row) => row.reason.replaceAll("_", " "), sort: (row) => row.reason },
        { label: "Since", value: (row) => when(row.since), sort: (row) => row.since },
        { label: "Until", value: (row) => (row.until ? when(row.until) : "for good"), sort: (row) => row.until },
        {
          label: "",
          value: (row) =>
            row.address && button("Lift…", () => lift(row.kind, row.address, () => list.reload()), { needs: "admin" }),
        },
      ],
    }),
  });
  return list;
}

/** Suppresses an address. */
export function suppressor(done) {
  const [address, why] = [
    text({ required: true }),
    select(
      REASONS.map((word) => [word, word.replaceAll("_", " ")]),
      "manual",
    ),
  ];
  const add = button(
    "Suppress",
    async () => {
      const said = address.value.trim();
      if (!said) return;
      const body = { [said.includes("@") ? "email" : "phone"]: said, reason: why.value };
      await call("POST", "/v1/suppressions", { body, once: true });
      address.value = "";
      await done();
    },
    { needs: "send", type: "submit" },
  );
  return form([field("Mail address or phone", address), field("Why", why)], [add]);
}
