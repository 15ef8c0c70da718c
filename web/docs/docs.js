// Builds the page from /openapi.json and sends what is tried. Texts go in as texts only, never as HTML.
"use strict";

const element = (name, properties = {}, children = []) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// An OpenAPI reference within the document, followed.
const follow = (document_, value) =>
  value && value.$ref ? value.$ref.slice(2).split("/").reduce((at, part) => at[part], document_) : value;

async function send(method, path, call, fields, output) {
  const query = new URLSearchParams();
  const headers = { Authorization: `Bearer ${document.getElementById("key").value}` };
  for (const { parameter, input } of fields.parameters) {
    const value = input.value.trim();
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value && parameter.in === "query") query.set(parameter.name, value);
    else if (value && parameter.in === "header") headers[parameter.name] = value;
  }
  const options = { method, headers };
  if (fields.body) {
    headers["Content-Type"] = fields.mediaType;
    options.body = fields.body.value;
  }
  output.hidden = false;
  output.textContent = "…";
  try {
    const answer = await fetch(path + (query.size ? `?${query}` : ""), options);
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
    output.textContent = `${answer.status} ${answer.statusText}\n\n${shown}`;
  } catch (error) {
    output.textContent = `The request failed: ${error.message}`;
  }
}

function form(document_, method, path, call) {
  const fields = { parameters: [], body: null, mediaType: null };
  const rows = (call.parameters ?? []).map((reference) => {
    const parameter = follow(document_, reference);
    const input = element("input", { spellcheck: false, required: !!parameter.required });
    fields.parameters.push({ parameter, input });
    const hint = [parameter.in, parameter.description].filter(Boolean).join(": ");
    return element("label", {}, [`${parameter.name} (${hint})`, input]);
  });
  const [mediaType, content] = Object.entries(call.requestBody?.content ?? {})[0] ?? [];
  if (content) {
    // Of lines each is a value; all else may be spread out.
    const text = JSON.stringify(content.example ?? {}, null, mediaType.endsWith("ndjson") ? 0 : 2);
    fields.mediaType = mediaType;
    fields.body = element("textarea", { value: text, spellcheck: false });
    rows.push(element("label", {}, ["Body", fields.body]));
  }
  const output = element("pre", { hidden: true });
  const button = element("button", { type: "button", textContent: "Send" });
  button.addEventListener("click", () => send(method.toUpperCase(), path, call, fields, output));
  return [...rows, button, output];
}

function describe(document_, method, path, call) {
  const statuses = Object.entries(call.responses).map(([status, reference]) =>
    element("li", { textContent: `${status}: ${follow(document_, reference).description}` }));
  return element("details", {}, [
    element("summary", {}, [
      element("b", { textContent: method.toUpperCase() }),
      element("code", { textContent: path }),
      ` ${call.summary}`,
    ]),
    element("p", { textContent: call.description ?? "" }),
    ...form(document_, method, path, call),
    element("ul", {}, statuses),
  ]);
}

async function load() {
  const calls = document.getElementById("calls");
  const description = await (await fetch("/openapi.json")).json();
  const sections = description.tags.map(({ name }) => {
    const own = Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, call]) => call.tags.includes(name))
        .map(([method, call]) => describe(description, method, path, call)));
    return element("section", {}, [element("h2", { textContent: name }), ...own]);
  });
  calls.replaceChildren(...sections);
}

load().catch((error) => {
  document.getElementById("calls").textContent = `The description cannot be loaded: ${error.message}`;
});
