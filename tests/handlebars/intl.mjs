// Records what Intl of Node makes of dates, numbers, money, plural forms and lists: `./dev handlebars`. The data of CLDR that Node
// has may be newer or older than ours, so that differences are expected now and then; they stand in intl.json with their reason.
import { readFileSync, writeFileSync } from "node:fs";

const file = new URL("intl.json", import.meta.url);
const text = readFileSync(file, "utf8");
const cases = JSON.parse(text);

const date = { short: { dateStyle: "short" }, medium: { dateStyle: "medium" }, long: { dateStyle: "long" }, full: { dateStyle: "full" } };
const time = {
  short: { timeStyle: "short" },
  medium: { timeStyle: "medium" },
  long: { hour: "numeric", minute: "2-digit", timeZoneName: "short" },
  full: { timeStyle: "full" },
};
const both = {
  short: { dateStyle: "short", timeStyle: "short" },
  medium: { dateStyle: "medium", timeStyle: "short" },
  long: { dateStyle: "long", timeStyle: "short" },
};

function expected({ locale, zone, helper, value, argument, decimals }) {
  const digits = decimals === undefined ? {} : { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  const instant = () => {
    if (typeof value === "number") return new Date(Math.abs(value) >= 1e11 ? value : value * 1000);
    return new Date(value.length === 10 ? `${value}T12:00:00Z` : value);
  };
  const timeZone = typeof value === "string" && value.length === 10 ? "UTC" : zone;
  switch (helper) {
    case "format_date": return new Intl.DateTimeFormat(locale, { ...date[argument ?? "medium"], timeZone }).format(instant());
    case "format_time": return new Intl.DateTimeFormat(locale, { ...time[argument ?? "short"], timeZone }).format(instant());
    case "format_datetime": return new Intl.DateTimeFormat(locale, { ...both[argument ?? "medium"], timeZone }).format(instant());
    case "format_number": return new Intl.NumberFormat(locale, digits).format(value);
    case "format_percent": return new Intl.NumberFormat(locale, { style: "percent", ...digits }).format(value);
    case "format_currency": return new Intl.NumberFormat(locale, { style: "currency", currency: argument }).format(value);
    case "plural": return new Intl.PluralRules(locale).select(value);
    case "format_list": return new Intl.ListFormat(locale, { type: "conjunction" }).format(value);
  }
}

for (const test of cases) test.expected = expected(test);
const recorded = "[\n" + cases.map((test) => "  " + JSON.stringify(test)).join(",\n") + "\n]\n";
if (recorded === text) {
  console.log(`${cases.length} cases of Intl: nothing changed`);
} else {
  writeFileSync(file, recorded);
  console.log(`${cases.length} cases of Intl: intl.json was written anew; look at the difference`);
  process.exitCode = 1;
}
