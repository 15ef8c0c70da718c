/* The demo: makes a pass with the key that was typed, and shows what the component does with it. A page of your own has its
 * server make the pass; see docs/inbox.md. */
"use strict";

const HOME = new URL("..", document.currentScript.src);
const LOG_MAX = 200;

const at = (id) => document.getElementById(id);
const inbox = at("inbox");
let session = null;

const call = async (key, path, body) => {
  const response = await fetch(new URL(path, HOME), {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail ?? `the server answered ${response.status}`);
  return answer;
};

/* What your own server does. */
const newPass = async () => {
  const { key, user, other } = session;
  const presence = other ? [other] : [];
  const answer = await call(key, `v1/users/${encodeURIComponent(user)}/ws-token`, { presence });
  return answer.token;
};

at("connect").addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(event.target);
  session = { key: fields.get("key"), user: fields.get("user").trim(), other: fields.get("other").trim() };
  at("who").textContent = session.user;
  at("other-name").textContent = session.other || "nobody";
  at("presence").textContent = "not seen yet";
  inbox.setAttribute("user", session.user);
  inbox.watch(session.other ? [session.other] : []);
  inbox.getToken = async () => {
    try {
      return await newPass();
    } catch (error) {
      at("state").textContent = error.message;
      throw error;
    }
  };
});

at("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(event.target);
  const key = session?.key ?? at("key").value;
  const url = fields.get("url").trim();
  const body = {
    user_id: session?.user ?? at("user").value.trim(),
    channels: ["in_app"],
    content: { title: literal(fields.get("title")), body: literal(fields.get("body")) },
  };
  if (fields.get("category").trim()) body.category = fields.get("category").trim();
  if (url) body.metadata = { url };
  try {
    const { id } = await call(key, "v1/notifications", body);
    at("sent").textContent = `Accepted: ${id}`;
  } catch (error) {
    at("sent").textContent = `Refused: ${error.message}`;
  }
});

/* Contents are templates: what was typed is to come as it was typed. */
function literal(text) {
  return text.replaceAll("{{", "\\{{");
}

const log = (sign, text) => {
  const line = document.createElement("li");
  const mark = document.createElement("b");
  mark.textContent = `${new Date().toLocaleTimeString()} ${sign} `;
  line.append(mark, text);
  at("log").prepend(line);
  while (at("log").childElementCount > LOG_MAX) at("log").lastElementChild.remove();
};

inbox.addEventListener("fanfare:frame", ({ detail }) => log(detail.sent ? "→" : "←", JSON.stringify(detail.frame)));
inbox.addEventListener("fanfare:state", ({ detail }) => {
  at("state").textContent = detail.state;
  log("·", detail.state);
});
inbox.addEventListener("fanfare:unread", ({ detail }) => {
  at("unread").textContent = String(detail.unread);
  document.title = detail.unread > 0 ? `(${detail.unread}) Inbox demo · Fanfare` : "Inbox demo · Fanfare";
});
inbox.addEventListener("fanfare:presence", ({ detail }) => {
  if (detail.user_id === session?.other) at("presence").textContent = detail.online ? "online" : "offline";
});

at("clear").addEventListener("click", () => at("log").replaceChildren());
at("language").addEventListener("change", ({ target }) => {
  inbox.lang = target.value;
  // The component follows the direction of what it stands in.
  document.querySelector(".top").dir = target.value === "ar" ? "rtl" : "ltr";
});
at("theme").addEventListener("change", ({ target }) => {
  inbox.setAttribute("theme", target.value);
  if (target.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = target.value;
});
at("origin").textContent = HOME.href;
