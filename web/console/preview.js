// Shows a rendered message. This page has an origin that is nobody's and a policy that lets in no host and no other script: see
// `PREVIEW_POLICY` in src/api/resources/pages.rs. What is taken out here would do nothing anyway.
"use strict";

const IDLE = "script, meta, base, link, iframe, frame, object, embed, noscript";

function show(html, direction) {
  const message = new DOMParser().parseFromString(html, "text/html");
  for (const element of message.querySelectorAll(IDLE)) element.remove();
  let remote = 0;
  for (const element of message.querySelectorAll("*")) {
    for (const { name } of [...element.attributes]) if (name.startsWith("on")) element.removeAttribute(name);
    if (element.matches("a, area")) element.setAttribute("target", "_blank");
    if (element.matches("img") && !(element.getAttribute("src") ?? "data:").startsWith("data:")) remote += 1;
  }
  const styles = [...message.head.querySelectorAll("style")];
  for (const old of document.head.querySelectorAll("style")) old.remove();
  document.head.append(...styles.map((style) => document.adoptNode(style)));
  const root = message.documentElement;
  document.documentElement.lang = root.lang || "und";
  document.documentElement.dir = root.dir || direction || "auto";
  document.body.replaceWith(document.adoptNode(message.body));
  // The frame's own height would hold the page open.
  const height = Math.ceil(document.body.getBoundingClientRect().bottom + 16);
  parent.postMessage({ fanfarePreview: { height, remote } }, "*");
}

addEventListener("message", (event) => {
  if (event.source !== parent || typeof event.data?.html !== "string") return;
  show(event.data.html, event.data.direction);
});
