// Records what Handlebars.js makes of the cases: `./dev handlebars`. Ours is compared with it by src/rendering/conformance.rs.
import { readFileSync, writeFileSync } from "node:fs";
import Handlebars from "handlebars";

const file = new URL("cases.json", import.meta.url);
const text = readFileSync(file, "utf8");
// `data` is what cases without data of their own are rendered over.
const { data, cases } = JSON.parse(text);
const { escapeExpression } = Handlebars.Utils;
for (const test of cases) {
  const engine = Handlebars.create();
  for (const [name, source] of Object.entries(test.partials ?? {})) engine.registerPartial(name, source);
  // What ours has besides, and the documentation of Handlebars.js shows as examples.
  engine.registerHelper("eq", (one, other) => one === other);
  engine.registerHelper("upper", (value) => String(value).toUpperCase());
  engine.registerHelper("lower", (value) => String(value).toLowerCase());
  engine.registerHelper("concat", (...values) => values.slice(0, -1).join(""));
  engine.registerHelper("default", (one, other) => (one == null || one === "" ? other : one));
  engine.unregisterHelper("log");
  try {
    // Not by `noEscape`, with which numbers that stand side by side are added up.
    Handlebars.Utils.escapeExpression = test.html ? escapeExpression : (value) => (value == null ? "" : String(value));
    test.expected = engine.compile(test.template)(test.data ?? data);
    delete test.error;
  } catch {
    delete test.expected;
    test.error = true;
  }
}
const lines = cases.map((test) => "  " + JSON.stringify(test));
const recorded = `{"data":${JSON.stringify(data)},"cases":[\n${lines.join(",\n")}\n]}\n`;
if (recorded === text) {
  console.log(`${cases.length} cases: nothing changed`);
} else {
  writeFileSync(file, recorded);
  console.log(`${cases.length} cases: cases.json was written anew; look at the difference`);
  process.exitCode = 1;
}
