/*! <fanfare-inbox>: a bell with a list of what came, for any page.
 *
 *   <script src="https://notify.example.com/inbox/fanfare-inbox.js" defer></script>
 *   <fanfare-inbox user="alice" token-url="/my/inbox-token"></fanfare-inbox>
 *
 * Attributes: user, token, token-url, server, lang (en, de, zh, ar), theme (auto, light, dark). Property getToken: an async
 * function that gives a token. Events: fanfare:notification, fanfare:unread, fanfare:open (cancelable), fanfare:state,
 * fanfare:presence, fanfare:token-needed, fanfare:frame. The manual is docs/inbox.md.
 *
 * No framework, no build step, no inline style or script, no eval, and every text is set as text: it runs under a strict
 * Content-Security-Policy (script-src and connect-src for the server are enough). Licence: Apache-2.0. */
(() => {
  "use strict";
  if (!("customElements" in window) || customElements.get("fanfare-inbox")) return;

  /* Where this file came from is where the server is, unless an attribute says otherwise. A module has no current script. */
  const source = document.currentScript?.src ?? document.querySelector('script[src*="fanfare-inbox.js"]')?.src;
  const HOME = new URL("..", source ?? document.baseURI).href;

  const PAGE = 20;
  const PAGE_MAX = 100;
  /* Notifications in memory. Older ones are on the server, and further back than anybody scrolls. */
  const ITEMS_MAX = 1000;
  const BACKOFF_MIN_MS = 1_000;
  const BACKOFF_MAX_MS = 30_000;
  /* WebSockets that failed in a row before server-sent events are tried: a proxy may not let them through. */
  const SOCKET_TRIES = 2;
  const HELLO_WAIT_MS = 10_000;
  const REQUEST_WAIT_MS = 15_000;
  const HEARTBEAT_MS = 25_000;
  /* Few large messages: a connection that says too many is closed. What does not fit is said next time. */
  const ACK_WAIT_MS = 250;
  const ACK_MAX = 200;
  const ACKS_AT_ONCE = 2;
  const RENDER_WAIT_MS = 30;
  const ANNOUNCE_WAIT_MS = 1_500;
  /* A token is replaced this long before it ends. */
  const RENEW_BEFORE_MS = 30_000;
  const TIMER_MAX_MS = 2_147_000_000;

  const WORDS = {
    en: {
      title: "Notifications", unread: "{n} unread", none: "nothing unread", dot: "Unread", read_all: "Mark all as read",
      archive: "Archive", archive_one: "Archive: {title}", close: "Close", more: "Show older ones", empty: "Nothing here yet",
      empty_hint: "What is meant for you appears here by itself.", offline: "You are offline. New ones come when you are back.",
      waiting: "The connection broke off. Trying again …", expired: "Your session has ended. Reload the page.",
      error: "The list cannot be loaded.", failed: "That did not work. Try it again.", retry: "Try again", loading: "Loading …",
      came: "New: {title}", came_many: "{n} new notifications", all_read: "All read", archived: "Archived", untitled: "Notification",
    },
    de: {
      title: "Mitteilungen", unread: "{n} ungelesen", none: "nichts ungelesen", dot: "Ungelesen", read_all: "Alle als gelesen markieren",
      archive: "Archivieren", archive_one: "Archivieren: {title}", close: "Schließen", more: "Ältere anzeigen", empty: "Noch nichts da",
      empty_hint: "Was für Sie bestimmt ist, erscheint hier von selbst.", offline: "Sie sind offline. Neues kommt, sobald Sie wieder verbunden sind.",
      waiting: "Die Verbindung ist abgebrochen. Neuer Versuch …", expired: "Ihre Sitzung ist zu Ende. Laden Sie die Seite neu.",
      error: "Die Liste kann nicht geladen werden.", failed: "Das hat nicht geklappt. Versuchen Sie es noch einmal.", retry: "Noch einmal", loading: "Lädt …",
      came: "Neu: {title}", came_many: "{n} neue Mitteilungen", all_read: "Alle gelesen", archived: "Archiviert", untitled: "Mitteilung",
    },
    zh: {
      title: "通知", unread: "{n} 条未读", none: "没有未读通知", dot: "未读", read_all: "全部标为已读",
      archive: "归档", archive_one: "归档：{title}", close: "关闭", more: "显示更早的通知", empty: "暂无通知",
      empty_hint: "发给您的内容会自动显示在这里。", offline: "您已离线。恢复连接后会收到新通知。",
      waiting: "连接已断开，正在重试…", expired: "会话已结束，请重新加载页面。",
      error: "无法加载列表。", failed: "操作未成功，请重试。", retry: "重试", loading: "正在加载…",
      came: "新通知：{title}", came_many: "{n} 条新通知", all_read: "已全部标为已读", archived: "已归档", untitled: "通知",
    },
    ar: {
      title: "الإشعارات", unread: "غير مقروءة: {n}", none: "لا يوجد غير مقروء", dot: "غير مقروء", read_all: "تحديد الكل كمقروء",
      archive: "أرشفة", archive_one: "أرشفة: {title}", close: "إغلاق", more: "عرض الأقدم", empty: "لا شيء هنا بعد",
      empty_hint: "ما يوجَّه إليك يظهر هنا تلقائيًا.", offline: "أنت غير متصل. ستصل الإشعارات الجديدة عند عودة الاتصال.",
      waiting: "انقطع الاتصال. تجري المحاولة من جديد …", expired: "انتهت جلستك. أعد تحميل الصفحة.",
      error: "تعذر تحميل القائمة.", failed: "لم تنجح العملية. حاول مرة أخرى.", retry: "إعادة المحاولة", loading: "جارٍ التحميل …",
      came: "جديد: {title}", came_many: "إشعارات جديدة: {n}", all_read: "قُرئ الكل", archived: "تمت الأرشفة", untitled: "إشعار",
    },
  };

  const STYLE = `
    :host {
      --_surface: var(--fanfare-surface, #ffffff);
      --_sunk: var(--fanfare-sunk, #edf0f4);
      --_ink: var(--fanfare-ink, #18212c);
      --_soft: var(--fanfare-ink-soft, #4a5767);
      --_line: var(--fanfare-line, #d6dce3);
      --_accent: var(--fanfare-accent, #1d5c9f);
      --_accent-soft: var(--fanfare-accent-soft, #e2ecf7);
      --_badge: var(--fanfare-badge, #a1241d);
      --_on-badge: var(--fanfare-on-badge, #ffffff);
      --_warn-soft: var(--fanfare-warn-soft, #fcefd6);
      --_warn: var(--fanfare-warn, #7d4a00);
      --_font: var(--fanfare-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif);
      --_round: var(--fanfare-round, 8px);
      color-scheme: light;
      position: relative;
      display: inline-block;
      font: 0.9375rem/1.45 var(--_font);
      color: var(--_ink);
      text-align: start;
    }
    @media (prefers-color-scheme: dark) { :host(:not([theme="light"])) {
      --_surface: var(--fanfare-surface, #19202a);
      --_sunk: var(--fanfare-sunk, #0c1015);
      --_ink: var(--fanfare-ink, #e5eaf0);
      --_soft: var(--fanfare-ink-soft, #a6b2bf);
      --_line: var(--fanfare-line, #2c3743);
      --_accent: var(--fanfare-accent, #7db3f2);
      --_accent-soft: var(--fanfare-accent-soft, #1c3048);
      --_badge: var(--fanfare-badge, #f39a93);
      --_on-badge: var(--fanfare-on-badge, #280806);
      --_warn-soft: var(--fanfare-warn-soft, #35270d);
      --_warn: var(--fanfare-warn, #e9b45c);
      color-scheme: dark;
    } }
    :host([theme="dark"]) {
      --_surface: var(--fanfare-surface, #19202a);
      --_sunk: var(--fanfare-sunk, #0c1015);
      --_ink: var(--fanfare-ink, #e5eaf0);
      --_soft: var(--fanfare-ink-soft, #a6b2bf);
      --_line: var(--fanfare-line, #2c3743);
      --_accent: var(--fanfare-accent, #7db3f2);
      --_accent-soft: var(--fanfare-accent-soft, #1c3048);
      --_badge: var(--fanfare-badge, #f39a93);
      --_on-badge: var(--fanfare-on-badge, #280806);
      --_warn-soft: var(--fanfare-warn-soft, #35270d);
      --_warn: var(--fanfare-warn, #e9b45c);
      color-scheme: dark;
    }
    :host([hidden]) { display: none; }
    *, *::before { box-sizing: border-box; }
    [hidden] { display: none !important; }
    button, a { font: inherit; color: inherit; }
    button { cursor: pointer; }
    svg { inline-size: 1.4em; block-size: 1.4em; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
    :focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
    .hidden-text { position: absolute; inline-size: 1px; block-size: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    .bell {
      position: relative; display: inline-grid; place-items: center; inline-size: 2.75rem; block-size: 2.75rem; padding: 0;
      border: 1px solid transparent; border-radius: 50%; background: transparent;
    }
    .bell:hover, .bell[aria-expanded="true"] { background: var(--_sunk); }
    .badge {
      position: absolute; inset-block-start: 0.1rem; inset-inline-end: 0.05rem; min-inline-size: 1.25rem; padding-inline: 0.3rem;
      border-radius: 1rem; background: var(--_badge); color: var(--_on-badge); font-size: 0.75rem; font-weight: 650; line-height: 1.25rem; text-align: center;
    }
    .panel {
      position: absolute; z-index: var(--fanfare-layer, 1000); inset-block-start: calc(100% + 0.4rem); inset-inline-end: 0;
      display: flex; flex-direction: column; inline-size: 24rem; max-block-size: min(36rem, 80vh); overflow: hidden;
      border: 1px solid var(--_line); border-radius: var(--_round); background: var(--_surface);
      box-shadow: 0 1px 2px rgb(0 0 0 / 12%), 0 8px 28px rgb(0 0 0 / 18%);
      animation: in 120ms ease-out;
    }
    .panel.to-start { inset-inline-end: auto; inset-inline-start: 0; }
    @keyframes in { from { opacity: 0; transform: translateY(-0.25rem); } }
    header { display: flex; align-items: center; gap: 0.25rem; padding: 0.5rem 0.5rem 0.5rem 1rem; padding-inline: 1rem 0.5rem; border-block-end: 1px solid var(--_line); }
    h2 { flex: 1; margin: 0; font-size: 1.0625rem; font-weight: 650; line-height: 1.3; }
    .plain { padding: 0.35rem 0.6rem; border: 0; border-radius: 6px; background: transparent; font-size: 0.8125rem; font-weight: 550; color: var(--_accent); }
    .plain:hover:not(:disabled) { background: var(--_sunk); }
    .plain:disabled { color: var(--_soft); cursor: default; }
    .icon { display: grid; place-items: center; inline-size: 2.25rem; block-size: 2.25rem; padding: 0; color: var(--_soft); }
    .state { display: flex; align-items: center; gap: 0.5rem; padding: 0.4rem 1rem; background: var(--_warn-soft); color: var(--_warn); font-size: 0.8125rem; }
    .state span { flex: 1; }
    .state .plain { color: inherit; text-decoration: underline; }
    .scroll { flex: 1; overflow-y: auto; overscroll-behavior: contain; }
    ul { margin: 0; padding: 0; list-style: none; }
    li { position: relative; display: flex; align-items: flex-start; border-block-end: 1px solid var(--_line); }
    li.is-unread { background: var(--_accent-soft); }
    .open {
      flex: 1; min-inline-size: 0; display: grid; gap: 0.1rem; padding: 0.65rem 0 0.65rem 1.75rem; padding-inline: 1.75rem 0.25rem;
      border: 0; background: transparent; text-align: start; text-decoration: none; cursor: pointer;
    }
    .open:focus-visible { outline-offset: -3px; border-radius: var(--_round); }
    li:hover { box-shadow: inset 3px 0 0 var(--_line); }
    .is-unread .open::before {
      content: ""; position: absolute; inset-block-start: 1.05rem; inset-inline-start: 0.7rem; inline-size: 0.5rem; block-size: 0.5rem;
      border-radius: 50%; background: var(--_accent);
    }
    .name { overflow-wrap: anywhere; font-weight: 500; }
    .is-unread .name { font-weight: 650; }
    .text { display: -webkit-box; overflow: hidden; overflow-wrap: anywhere; white-space: pre-line; -webkit-box-orient: vertical; -webkit-line-clamp: 4; line-clamp: 4; }
    .meta { display: flex; flex-wrap: wrap; gap: 0.15rem 0.5rem; color: var(--_soft); font-size: 0.8125rem; }
    .category { padding-inline: 0.45rem; border-radius: 1rem; background: var(--_sunk); color: var(--_soft); font-size: 0.75rem; font-weight: 600; line-height: 1.6; }
    .put-away { margin: 0.35rem; border: 0; border-radius: 6px; background: transparent; }
    .put-away:hover { background: var(--_sunk); color: var(--_ink); }
    .empty { padding: 2.5rem 1.5rem; text-align: center; color: var(--_soft); }
    .empty strong { display: block; color: var(--_ink); font-weight: 650; }
    .foot { padding: 0.4rem; text-align: center; }
    @media (max-width: 30rem) {
      .panel, .panel.to-start { position: fixed; inset: auto 0 0 0; inline-size: auto; max-block-size: 85vh; max-block-size: 85dvh; border-end-start-radius: 0; border-end-end-radius: 0; }
      .icon { inline-size: 2.75rem; block-size: 2.75rem; }
    }
    @media (prefers-reduced-motion: reduce) { .panel { animation: none; } }
    @media (forced-colors: active) {
      .badge { border: 1px solid; }
      .is-unread .open::before { background: Highlight; forced-color-adjust: none; }
      .bell { border-color: ButtonBorder; }
    }
  `;

  const isText = (value) => typeof value === "string" && value !== "";
  const jitter = (ms) => ms / 2 + Math.random() * (ms / 2);

  /* Only what leads to a page: never `javascript:`, `data:` or the like. */
  const safeUrl = (value) => {
    if (!isText(value)) return null;
    try {
      const url = new URL(value, document.baseURI);
      return url.protocol === "https:" || url.protocol === "http:" ? url : null;
    } catch {
      return null;
    }
  };

  const make = (name, properties = {}, children = []) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key === "class") element.className = value;
      else if (key in element && typeof value !== "string") element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };

  const drawing = (...paths) => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    for (const d of paths) {
      const path = document.createElementNS(space, "path");
      path.setAttribute("d", d);
      svg.append(path);
    }
    return svg;
  };

  class Refused extends Error {
    constructor(status) {
      super(`answered ${status}`);
      this.status = status;
    }
  }

  /* ── The line to the server: token, connection, acknowledgements ─────────────────────────────────────────────────────── */

  /* Keeps one connection, or is about to make one. Tells its owner: onFrame(frame), onState(state), onSent(frame).
   * States: connecting, live, waiting (for the next try), offline, expired (a token is needed), stopped. */
  class Line {
    constructor(owner) {
      this.owner = owner;
      this.state = "stopped";
      this.server = HOME;
      this.user = "";
      this.token = "";
      this.renewal = null;
      this.failures = 0;
      this.socketFailures = 0;
      this.denied = 0;
      this.timers = new Map();
      this.toAck = new Set();
      this.toRead = new Set();
      this.watched = [];
      this.run = 0;
    }

    start() {
      this.stop("connecting");
      if (!navigator.onLine) return this.become("offline");
      this.connect();
    }

    /* Ends whatever is going on; frames and answers of before are of no run that counts any more. */
    stop(state = "stopped") {
      this.run += 1;
      for (const timer of this.timers.values()) clearTimeout(timer);
      this.timers.clear();
      this.hangUp();
      this.become(state);
    }

    hangUp() {
      const { socket, stream } = this;
      this.socket = this.stream = null;
      socket?.close(1000);
      stream?.close();
    }

    become(state) {
      if (this.state === state) return;
      this.state = state;
      this.owner.onState(state);
    }

    after(name, ms, action) {
      clearTimeout(this.timers.get(name));
      const run = this.run;
      this.timers.set(name, setTimeout(() => run === this.run && action(), Math.min(ms, TIMER_MAX_MS)));
    }

    async connect() {
      const run = (this.run += 1);
      if (this.state !== "waiting") this.become("connecting");
      if (!this.token && !(await this.renew(run))) return;
      if (run !== this.run) return;
      if (this.socketFailures >= SOCKET_TRIES && "EventSource" in window) this.openStream(run);
      else this.openSocket(run);
    }

    url(path, isSocket = false) {
      const url = new URL(path, this.server);
      if (isSocket) url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
      url.searchParams.set("token", this.token);
      return url.href;
    }

    openSocket(run) {
      let socket;
      try {
        socket = new WebSocket(this.url("v1/ws", true));
      } catch {
        this.socketFailures = SOCKET_TRIES;
        return this.tryLater();
      }
      this.socket = socket;
      let isReady = false;
      socket.onmessage = ({ data }) => {
        if (run !== this.run) return;
        this.heard();
        const frame = this.read(data);
        if (frame?.type === "hello") {
          isReady = true;
          this.socketFailures = 0;
        }
      };
      socket.onclose = ({ code }) => {
        if (run !== this.run) return;
        this.socket = null;
        if (!isReady && code !== 4001) this.socketFailures += 1;
        if (code === 4001) this.renewAndConnect();
        // Whoever was cut off for talking too much waits the longest.
        else this.tryLater(code === 1008 ? BACKOFF_MAX_MS : 0);
      };
      this.after("hello", HELLO_WAIT_MS, () => !isReady && this.drop());
    }

    openStream(run) {
      const stream = new EventSource(this.url("v1/sse"));
      this.stream = stream;
      stream.onmessage = ({ data }) => {
        if (run !== this.run) return;
        this.heard();
        this.read(data);
      };
      // As a WebSocket would be closed.
      stream.addEventListener("close", ({ data }) => {
        if (run !== this.run) return;
        stream.close();
        this.stream = null;
        this.socketFailures = SOCKET_TRIES - 1;
        if (/"code":\s*4001/.test(data)) this.renewAndConnect();
        else this.tryLater();
      });
      // An error says nothing of why. The list is asked for next, and that says whether the token is at fault. The socket has its turn again.
      stream.onerror = () => {
        if (run !== this.run) return;
        stream.close();
        this.stream = null;
        this.socketFailures = SOCKET_TRIES - 1;
        this.check().finally(() => run === this.run && this.tryLater());
      };
      this.after("hello", HELLO_WAIT_MS, () => this.state !== "live" && this.drop());
    }

    /* Whether the token still counts; if not, there is none from now on. */
    async check() {
      try {
        await this.request("GET", "inbox?limit=1", undefined, false);
      } catch (error) {
        if (error instanceof Refused && error.status === 401) this.token = "";
      }
    }

    /* A connection that is dead and does not know it. */
    drop() {
      const { socket, stream } = this;
      this.run += 1;
      this.socket = this.stream = null;
      socket?.close();
      stream?.close();
      if (this.state !== "live") this.socketFailures += 1;
      this.tryLater();
    }

    read(data) {
      let frame;
      try {
        frame = JSON.parse(data);
      } catch {
        return null;
      }
      if (typeof frame?.type !== "string") return null;
      if (frame.type === "hello") this.welcome(frame);
      this.owner.onFrame(frame);
      return frame;
    }

    welcome(hello) {
      this.failures = this.denied = 0;
      clearTimeout(this.timers.get("hello"));
      if (!this.user && isText(hello.user_id)) this.user = hello.user_id;
      this.heartbeat = hello.heartbeat_seconds > 0 ? hello.heartbeat_seconds * 1_000 : HEARTBEAT_MS;
      this.beat();
      this.heard();
      // By the server's clock: that of a device may be wrong by hours. And never at once again.
      const left = Date.parse(hello.expires_at) - (Date.parse(hello.server_time) || Date.now());
      if (left > 0 && this.renewal) this.after("renew", Math.max(left - RENEW_BEFORE_MS, left / 2, 5_000), () => this.renewAndConnect());
      this.become("live");
      if (this.watched.length > 0) this.send({ type: "subscribe", users: this.watched });
      this.flushReads();
      this.flushAcks();
    }

    beat() {
      this.after("beat", this.heartbeat, () => {
        this.send({ type: "ping" });
        this.beat();
      });
    }

    /* Every frame says that the other side is there; a stream is silent for as long as nothing comes. */
    heard() {
      if (this.socket && this.heartbeat) this.after("silence", 2.5 * this.heartbeat, () => this.drop());
    }

    send(frame) {
      if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return false;
      this.socket.send(JSON.stringify(frame));
      this.owner.onSent(frame);
      return true;
    }

    tryLater(wait = 0) {
      if (!navigator.onLine) {
        this.stop("offline");
        return;
      }
      this.run += 1;
      for (const name of ["beat", "silence", "renew", "hello"]) clearTimeout(this.timers.get(name));
      this.become("waiting");
      const backoff = Math.min(BACKOFF_MIN_MS * 2 ** Math.min(this.failures, 10), BACKOFF_MAX_MS);
      this.failures += 1;
      this.after("connect", Math.max(wait, jitter(backoff)), () => this.connect());
    }

    /* Something speaks for it that it works now: the page is looked at, or the network is back. */
    hurry() {
      if (this.state !== "waiting" && this.state !== "offline") return;
      this.failures = 0;
      this.stop("connecting");
      this.connect();
    }

    async renewAndConnect() {
      this.token = "";
      this.run += 1;
      this.hangUp();
      // A server that refuses every new token is not asked without a pause.
      this.denied += 1;
      if (this.denied > 1 && this.renewal) this.tryLater();
      else this.connect();
    }

    /* Whether there is a token now. */
    async renew(run) {
      if (!this.renewal) {
        this.become("expired");
        this.owner.onTokenNeeded();
        return false;
      }
      try {
        const token = await this.renewal();
        if (run !== this.run) return false;
        if (!isText(token)) throw new Error("no token came");
        this.token = token;
        return true;
      } catch {
        if (run === this.run) this.tryLater();
        return false;
      }
    }

    /* A call about the user's inbox. A token that has expired is replaced once. */
    async request(method, path, body, mayRenew = true) {
      const token = this.token;
      const url = new URL(`v1/users/${encodeURIComponent(this.user)}/${path}`, this.server);
      const headers = { authorization: `Bearer ${token}`, accept: "application/json" };
      if (body !== undefined) headers["content-type"] = "application/json";
      const response = await fetch(url, {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body), keepalive: method === "POST",
        cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(REQUEST_WAIT_MS),
      });
      if (response.status === 401 && mayRenew && this.renewal) {
        if (this.token === token) this.token = await this.renewal();
        return this.request(method, path, body, false);
      }
      if (!response.ok) throw new Refused(response.status);
      return response.headers.get("content-type")?.includes("json") ? response.json() : null;
    }

    ack(id) {
      this.toAck.add(id);
      if (this.toAck.size > ITEMS_MAX) this.toAck.delete(this.toAck.values().next().value);
      if (!this.timers.has("ack")) this.after("ack", ACK_WAIT_MS, () => this.flushAcks());
    }

    /* What cannot be said now is said after the next hello; the server sends it again until then. */
    flushAcks() {
      clearTimeout(this.timers.get("ack"));
      this.timers.delete("ack");
      for (let said = 0; this.toAck.size > 0; said += 1) {
        if (said === ACKS_AT_ONCE) return this.after("ack", ACK_WAIT_MS, () => this.flushAcks());
        const ids = [...this.toAck].slice(0, ACK_MAX);
        if (this.socket) {
          if (!this.send({ type: "ack", ids })) return;
        } else if (this.state === "live") {
          this.request("POST", "inbox/ack", { ids }).catch(() => ids.forEach((id) => this.toAck.add(id)));
        } else return;
        ids.forEach((id) => this.toAck.delete(id));
      }
    }

    /* Kept until the server says that it noted it. */
    readOnes(ids) {
      ids.forEach((id) => this.toRead.add(id));
      this.flushReads();
    }

    flushReads() {
      if (this.toRead.size === 0) return;
      const ids = [...this.toRead].slice(0, ACK_MAX);
      if (this.socket ? this.send({ type: "notification:read", ids }) : false) return;
      for (const id of ids) {
        const done = () => this.toRead.delete(id);
        // 404: it is gone, and there is nothing to note.
        this.request("POST", `inbox/${encodeURIComponent(id)}/read`).then(done, (error) => error.status === 404 && done());
      }
    }
  }

  /* ── What is known of the inbox ──────────────────────────────────────────────────────────────────────────────────────── */

  /* Newest first, each once. */
  class Shelf {
    constructor() {
      this.clear();
    }

    clear() {
      this.items = [];
      this.byId = new Map();
      this.cursor = null;
      this.unread = 0;
      this.isLoaded = false;
      // How often the server, or what is done here, has said how many are unread.
      this.counts = 0;
      // While a page is on its way: what happened meanwhile, which the page does not know.
      this.meanwhile = null;
    }

    static isItem(item) {
      return isText(item?.id) && isText(item.created_at);
    }

    static compare(a, b) {
      return a.created_at === b.created_at ? (a.id < b.id ? 1 : -1) : a.created_at < b.created_at ? 1 : -1;
    }

    /* Whether it was not there. */
    add(item) {
      if (!Shelf.isItem(item)) return false;
      this.meanwhile?.push(() => this.add(item));
      const held = this.byId.get(item.id);
      if (held) {
        // Read here, and the server does not know yet, or the other way round.
        Object.assign(held, item, { read: held.read || item.read });
        return false;
      }
      this.byId.set(item.id, item);
      // Nearly always at the front.
      const at = this.items.findIndex((other) => Shelf.compare(item, other) < 0);
      this.items.splice(at < 0 ? this.items.length : at, 0, item);
      if (this.items.length > ITEMS_MAX) {
        this.byId.delete(this.items.pop().id);
        this.cursor = null;
      }
      return true;
    }

    read(ids) {
      this.meanwhile?.push(() => this.read(ids));
      for (const id of ids) {
        const item = this.byId.get(id);
        if (item) item.read = true;
      }
    }

    readAll() {
      this.meanwhile?.push(() => this.readAll());
      for (const item of this.items) item.read = true;
    }

    remove(ids) {
      this.meanwhile?.push(() => this.remove(ids));
      const gone = new Set(ids);
      this.items = this.items.filter((item) => !gone.has(item.id));
      gone.forEach((id) => this.byId.delete(id));
    }

    /* A page from the server: the first takes the place of all, others come below. */
    take(page, isFirst) {
      const meanwhile = this.meanwhile ?? [];
      this.meanwhile = null;
      if (isFirst) {
        this.items = [];
        this.byId.clear();
      }
      this.cursor = isText(page.next_cursor) ? page.next_cursor : null;
      for (const item of Array.isArray(page.data) ? page.data : []) if (!item.archived_at) this.add(item);
      meanwhile.forEach((again) => again());
      if (this.items.length >= ITEMS_MAX) this.cursor = null;
      this.isLoaded = true;
    }
  }

  /* ── The element ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

  class FanfareInbox extends HTMLElement {
    static observedAttributes = ["user", "token", "token-url", "server", "lang", "theme"];

    #line = new Line(this);
    #shelf = new Shelf();
    #rows = new Map();
    #getToken = null;
    #isOpen = false;
    #isLoading = false;
    #problem = "";
    #current = null;
    #announced = [];
    #renderTimer = 0;
    #announceTimer = 0;
    #clockTimer = 0;
    #told = -1;

    constructor() {
      super();
      const root = this.attachShadow({ mode: "open" });
      try {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(STYLE);
        root.adoptedStyleSheets = [sheet];
      } catch {
        root.append(make("style", {}, [STYLE]));
      }
      this.#build(root);
    }

    /* ── For the page ── */

    /* An async function that gives a token for this user; it is called whenever one is needed. */
    get getToken() {
      return this.#getToken;
    }

    set getToken(renewal) {
      this.#getToken = typeof renewal === "function" ? renewal : null;
      if (this.isConnected) this.#restart();
    }

    get unread() {
      return this.#shelf.unread;
    }

    get state() {
      return this.#line.state;
    }

    /* Tells by `fanfare:presence` when these users come and go, of those that the token lets see. */
    watch(users) {
      this.#line.watched = [...users].map(String).slice(0, 100);
      this.#line.send({ type: "subscribe", users: this.#line.watched });
    }

    show() {
      this.#toggle(true);
    }

    hide() {
      this.#toggle(false);
    }

    /* ── Life ── */

    connectedCallback() {
      addEventListener("online", this.#online);
      addEventListener("offline", this.#offline);
      addEventListener("pagehide", this.#left);
      addEventListener("pageshow", this.#returned);
      document.addEventListener("visibilitychange", this.#looked);
      document.addEventListener("pointerdown", this.#outside);
      this.#restart();
    }

    disconnectedCallback() {
      removeEventListener("online", this.#online);
      removeEventListener("offline", this.#offline);
      removeEventListener("pagehide", this.#left);
      removeEventListener("pageshow", this.#returned);
      document.removeEventListener("visibilitychange", this.#looked);
      document.removeEventListener("pointerdown", this.#outside);
      for (const timer of [this.#renderTimer, this.#announceTimer]) clearTimeout(timer);
      this.#renderTimer = this.#announceTimer = 0;
      clearInterval(this.#clockTimer);
      this.#line.stop();
    }

    attributeChangedCallback(name, before, now) {
      if (before === now || !this.isConnected) return;
      if (name === "lang") this.#translate();
      else if (name !== "theme") this.#restart(name === "user" || name === "server");
    }

    #online = () => this.#line.hurry();
    #offline = () => !["expired", "stopped"].includes(this.#line.state) && this.#line.stop("offline");
    #left = () => this.#line.stop();
    #returned = (event) => event.persisted && this.#restart();
    #looked = () => document.visibilityState === "visible" && this.#line.hurry();
    #outside = (event) => this.#isOpen && !event.composedPath().includes(this) && this.#toggle(false);

    #restart(isOther = false) {
      const line = this.#line;
      if (isOther) {
        this.#shelf.clear();
        line.toAck.clear();
        line.toRead.clear();
        this.#rows.clear();
      }
      line.stop();
      line.user = this.getAttribute("user") ?? "";
      line.server = this.#server();
      line.token = this.getAttribute("token") ?? "";
      line.renewal = this.#renewal();
      line.failures = line.socketFailures = line.denied = 0;
      this.#translate();
      // One tick later, so that a page that sets several things starts one connection.
      queueMicrotask(() => this.isConnected && line.state === "stopped" && (line.token || line.renewal) && line.start());
    }

    #server() {
      const server = this.getAttribute("server");
      if (!server) return HOME;
      try {
        const url = new URL(server, document.baseURI);
        return url.href.endsWith("/") ? url.href : `${url.href}/`;
      } catch {
        return HOME;
      }
    }

    #renewal() {
      if (this.#getToken) return async () => this.#getToken();
      const address = this.getAttribute("token-url");
      if (!address) return null;
      return async () => {
        const response = await fetch(new URL(address, document.baseURI), {
          method: "POST", headers: { accept: "application/json" }, cache: "no-store", credentials: "same-origin",
          signal: AbortSignal.timeout(REQUEST_WAIT_MS),
        });
        if (!response.ok) throw new Refused(response.status);
        return (await response.json()).token;
      };
    }

    /* ── What the line tells ── */

    onState(state) {
      this.#emit("fanfare:state", { state });
      this.#render();
    }

    onTokenNeeded() {
      this.#emit("fanfare:token-needed", {});
    }

    onSent(frame) {
      this.#emit("fanfare:frame", { sent: true, frame });
    }

    onFrame(frame) {
      this.#emit("fanfare:frame", { sent: false, frame });
      const ids = Array.isArray(frame.ids) ? frame.ids.filter(isText) : [];
      switch (frame.type) {
        case "hello":
          this.#count(frame.unread_count);
          // What happened while nobody listened.
          this.#load(true);
          break;
        case "notification":
          this.#came(frame.notification);
          break;
        case "unread_count":
          this.#count(frame.unread_count);
          break;
        case "notification:read:ack":
          if (frame.all) {
            this.#line.toRead.clear();
            this.#shelf.readAll();
          } else {
            ids.forEach((id) => this.#line.toRead.delete(id));
            this.#shelf.read(ids);
          }
          break;
        case "notification:archived":
          this.#shelf.remove(ids);
          break;
        case "user:online":
        case "user:offline":
          this.#emit("fanfare:presence", { user_id: String(frame.user_id), online: frame.type === "user:online" });
          break;
        case "resync":
          this.#load(true);
          break;
        default:
          return;
      }
      this.#render();
    }

    #came(item) {
      if (!Shelf.isItem(item)) return;
      this.#line.ack(item.id);
      if (!this.#shelf.add(item)) return;
      this.#emit("fanfare:notification", item);
      if (!item.read) this.#announce(this.#say("came", { title: this.#title(item) }));
    }

    #count(unread) {
      if (Number.isInteger(unread) && unread >= 0) this.#shelf.unread = unread;
      this.#shelf.counts += 1;
      if (this.#told === this.#shelf.unread) return;
      this.#told = this.#shelf.unread;
      this.#emit("fanfare:unread", { unread: this.#told });
    }

    async #load(isFirst) {
      const shelf = this.#shelf;
      if (this.#isLoading) {
        // Whatever made it necessary may be newer than what is on its way.
        this.#again ||= isFirst;
        return;
      }
      if (!isFirst && !shelf.cursor) return;
      this.#isLoading = true;
      this.#problem = "";
      shelf.meanwhile = [];
      this.#render();
      const parameters = new URLSearchParams({ status: "all", limit: String(PAGE) });
      if (isFirst) parameters.set("limit", String(Math.min(PAGE_MAX, Math.max(PAGE, shelf.items.length))));
      else parameters.set("cursor", shelf.cursor);
      const { user, server } = this.#line;
      const { counts } = shelf;
      try {
        const page = await this.#line.request("GET", `inbox?${parameters}`);
        // Another user meanwhile: it is not for their eyes.
        if (user !== this.#line.user || server !== this.#line.server || shelf.meanwhile === null) return;
        shelf.take(page ?? {}, isFirst);
        shelf.read(this.#line.toRead);
        // What was said of it since is newer.
        if (isFirst && counts === shelf.counts) this.#count(page?.unread_count);
      } catch {
        shelf.meanwhile = null;
        this.#problem = "error";
      } finally {
        this.#isLoading = false;
        const again = this.#again;
        this.#again = false;
        if (again) this.#load(true);
        this.#render();
      }
    }

    #again = false;

    /* ── What its reader does ── */

    #openItem(item, event) {
      this.#markRead(item);
      const goes = this.#emit("fanfare:open", item, true);
      if (!goes) event.preventDefault();
      else if (safeUrl(item.metadata?.url)) this.#toggle(false, false);
    }

    #markRead(item) {
      if (item.read) return;
      this.#shelf.read([item.id]);
      this.#count(Math.max(0, this.#shelf.unread - 1));
      this.#line.readOnes([item.id]);
      this.#render();
    }

    async #readAll() {
      this.#shelf.readAll();
      this.#count(0);
      this.#render();
      this.#announce(this.#say("all_read"), true);
      this.#row(this.#current)?.open.focus();
      if (this.#line.send({ type: "notification:read", all: true })) return;
      await this.#attempt("POST", "inbox/read-all");
    }

    async #archive(item) {
      const at = this.#shelf.items.indexOf(item);
      const next = this.#shelf.items[at + 1] ?? this.#shelf.items[at - 1];
      if (!item.read) this.#count(Math.max(0, this.#shelf.unread - 1));
      this.#shelf.remove([item.id]);
      this.#current = next?.id ?? null;
      this.#paint();
      (this.#row(this.#current)?.open ?? this.#panel).focus();
      this.#announce(this.#say("archived"), true);
      await this.#attempt("POST", `inbox/${encodeURIComponent(item.id)}/archive`);
    }

    /* What was shown as done already and could not be done is shown as it is again. */
    async #attempt(method, path) {
      try {
        await this.#line.request(method, path);
      } catch (error) {
        if (error.status === 404) return;
        this.#problem = "failed";
        await this.#load(true);
        this.#problem ||= "failed";
        this.#render();
      }
    }

    #toggle(isOpen, mayFocus = true) {
      if (this.#isOpen === isOpen) return;
      this.#isOpen = isOpen;
      this.#panel.hidden = !isOpen;
      this.#bell.setAttribute("aria-expanded", String(isOpen));
      clearInterval(this.#clockTimer);
      if (isOpen) {
        const box = this.#bell.getBoundingClientRect();
        const isRtl = getComputedStyle(this).direction === "rtl";
        const isLeft = box.left + box.width / 2 < innerWidth / 2;
        this.#panel.classList.toggle("to-start", isLeft !== isRtl);
        // It begins with the newest.
        this.#current = null;
        this.#scroll.scrollTop = 0;
        this.#paint();
        this.#clockTimer = setInterval(() => this.#paint(), 30_000);
        (this.#row(this.#current)?.open ?? this.#panel).focus();
      } else if (mayFocus) this.#bell.focus();
    }

    #keys = (event) => {
      if (event.key === "Escape" && this.#isOpen) {
        event.stopPropagation();
        return this.#toggle(false);
      }
      const row = event.target.closest?.("li");
      if (!this.#isOpen || event.ctrlKey || event.metaKey || event.altKey) return;
      const { items } = this.#shelf;
      if (!row) {
        if (event.key !== "ArrowDown" || items.length === 0) return;
        event.preventDefault();
        return this.#focusOn(items[0].id);
      }
      const at = items.findIndex((item) => item.id === row.dataset.id);
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        const item = items[Math.max(0, Math.min(to, items.length - 1))];
        if (to >= items.length) this.#load(false);
        if (item) this.#focusOn(item.id);
      } else if (event.key === "Delete" && items[at]) {
        event.preventDefault();
        this.#archive(items[at]);
      }
    };

    #focusOn(id) {
      this.#current = id;
      this.#paint();
      this.#row(id)?.open.focus();
    }

    /* ── Words ── */

    #language() {
      const asked = this.getAttribute("lang") || document.documentElement.lang || navigator.language || "en";
      try {
        const tag = new Intl.Locale(asked);
        // Times and words are of one language.
        return WORDS[tag.language] ? tag.toString() : "en";
      } catch {
        return "en";
      }
    }

    #say(name, values = {}) {
      const words = WORDS[this.#tag.split("-")[0]] ?? WORDS.en;
      return words[name].replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
    }

    #title(item) {
      return isText(item.title) ? item.title : isText(item.body) ? item.body.slice(0, 120) : this.#say("untitled");
    }

    #translate() {
      this.#tag = this.#language();
      this.#numbers = new Intl.NumberFormat(this.#tag);
      this.#ages = new Intl.RelativeTimeFormat(this.#tag, { numeric: "auto" });
      this.#dates = new Intl.DateTimeFormat(this.#tag, { dateStyle: "full", timeStyle: "short" });
      const root = this.shadowRoot;
      root.querySelector("h2").textContent = this.#say("title");
      this.#all.textContent = this.#say("read_all");
      this.#more.textContent = this.#say("more");
      this.#retry.textContent = this.#say("retry");
      this.#shut.setAttribute("aria-label", this.#say("close"));
      this.#empty.firstElementChild.textContent = this.#say("empty");
      this.#empty.lastElementChild.textContent = this.#say("empty_hint");
      for (const part of [this.#bell, this.#panel, this.#live]) part.lang = this.#tag;
      for (const row of this.#rows.values()) row.seen = "";
      this.#render();
    }

    #tag = "en";
    #numbers = new Intl.NumberFormat("en");
    #ages = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
    #dates = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "short" });

    #age(at) {
      const seconds = Math.min(0, (at - Date.now()) / 1_000);
      const steps = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7], ["week", 4.35], ["month", 12], ["year", Infinity]];
      let value = seconds;
      for (const [unit, size] of steps) {
        if (Math.abs(value) < size) return this.#ages.format(unit === "second" && value > -10 ? 0 : Math.trunc(value), unit);
        value /= size;
      }
      return "";
    }

    /* Many at once are one sentence: nobody wants to hear a hundred. */
    #announce(text, isNow = false) {
      this.#announced.push(text);
      if (isNow) clearTimeout(this.#announceTimer);
      else if (this.#announceTimer) return;
      this.#announceTimer = setTimeout(() => {
        this.#announceTimer = 0;
        const texts = this.#announced.splice(0);
        this.#live.textContent = texts.length > 3 ? this.#say("came_many", { n: this.#numbers.format(texts.length) }) : texts.join(". ");
      }, isNow ? 50 : ANNOUNCE_WAIT_MS);
    }

    #emit(name, detail, cancelable = false) {
      return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable }));
    }

    /* ── Drawing ── */

    #build(root) {
      this.#badge = make("span", { class: "badge", part: "badge", dir: "ltr", "aria-hidden": "true", hidden: true });
      this.#bell = make("button", { class: "bell", part: "bell", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", "aria-controls": "panel" }, [
        drawing("M6 9a6 6 0 0 1 12 0c0 6 2.5 7 2.5 7h-17S6 15 6 9", "M10 19.5a2.2 2.2 0 0 0 4 0"),
        this.#badge,
      ]);
      this.#all = make("button", { class: "plain", type: "button" });
      this.#shut = make("button", { class: "plain icon", type: "button" }, [drawing("M6 6l12 12", "M18 6L6 18")]);
      this.#retry = make("button", { class: "plain", type: "button" });
      this.#stateText = make("span");
      this.#stateRow = make("div", { class: "state", part: "state", role: "status", hidden: true }, [this.#stateText, this.#retry]);
      this.#list = make("ul", { role: "list", part: "list", "aria-labelledby": "title" });
      this.#more = make("button", { class: "plain", type: "button" });
      this.#foot = make("div", { class: "foot", hidden: true }, [this.#more]);
      this.#empty = make("div", { class: "empty", part: "empty", hidden: true }, [make("strong"), make("span")]);
      this.#scroll = make("div", { class: "scroll" }, [this.#list, this.#empty, this.#foot]);
      this.#panel = make("div", { class: "panel", part: "panel", id: "panel", role: "dialog", "aria-labelledby": "title", tabindex: "-1", hidden: true }, [
        make("header", {}, [make("h2", { id: "title" }), this.#all, this.#shut]),
        this.#stateRow,
        this.#scroll,
      ]);
      this.#live = make("div", { class: "hidden-text", role: "status", "aria-live": "polite" });
      root.append(this.#bell, this.#panel, this.#live);
      this.#bell.addEventListener("click", () => this.#toggle(!this.#isOpen));
      this.#shut.addEventListener("click", () => this.#toggle(false));
      this.#all.addEventListener("click", () => this.#readAll());
      this.#more.addEventListener("click", () => this.#load(false));
      this.#retry.addEventListener("click", () => (this.#line.state === "waiting" ? this.#line.hurry() : this.#load(true)));
      this.#scroll.addEventListener("scroll", () => {
        const { scrollTop, clientHeight, scrollHeight } = this.#scroll;
        if (scrollHeight - scrollTop - clientHeight < 200 && !this.#problem) this.#load(false);
      }, { passive: true });
      root.addEventListener("keydown", this.#keys);
      root.addEventListener("focusin", (event) => {
        const id = event.target.closest?.("li")?.dataset.id;
        if (!id || id === this.#current) return;
        this.#current = id;
        this.#paint();
      });
      // Whoever tabs out of the panel is done with it.
      this.#panel.addEventListener("focusout", ({ relatedTarget }) => {
        if (relatedTarget && !this.contains(relatedTarget) && !root.contains(relatedTarget)) this.#toggle(false, false);
      });
    }

    #bell; #badge; #panel; #all; #shut; #retry; #stateText; #stateRow; #list; #more; #foot; #empty; #scroll; #live;

    /* Many changes are one drawing. A timer, because a page that is not looked at has no frames. */
    #render() {
      this.#renderTimer ||= setTimeout(() => this.#paint(), RENDER_WAIT_MS);
    }

    #paint() {
      clearTimeout(this.#renderTimer);
      this.#renderTimer = 0;
      const { items, unread, isLoaded, cursor } = this.#shelf;
      const count = unread > 99 ? `${this.#numbers.format(99)}+` : this.#numbers.format(unread);
      this.#badge.hidden = unread === 0;
      this.#badge.textContent = count;
      const said = unread === 0 ? this.#say("none") : this.#say("unread", { n: count });
      this.#bell.setAttribute("aria-label", `${this.#say("title")}, ${said}`);
      if (!this.#isOpen) return;
      this.#paintState();
      this.#all.disabled = unread === 0 && items.every((item) => item.read);
      if (!this.#shelf.byId.has(this.#current)) this.#current = items[0]?.id ?? null;
      this.#paintRows(items);
      this.#empty.hidden = !isLoaded || items.length > 0;
      this.#foot.hidden = !cursor;
      this.#more.disabled = this.#isLoading;
      this.#scroll.setAttribute("aria-busy", String(this.#isLoading));
    }

    #paintState() {
      const { state } = this.#line;
      const word = state === "offline" || state === "waiting" || state === "expired" ? state
        : this.#problem || (!this.#shelf.isLoaded && state !== "stopped" ? "loading" : "");
      this.#stateRow.hidden = word === "";
      const text = word ? this.#say(word) : "";
      if (this.#stateText.textContent !== text) this.#stateText.textContent = text;
      this.#retry.hidden = word !== "waiting" && word !== "error";
    }

    #paintRows(items) {
      let before = this.#list.firstElementChild;
      for (const item of items) {
        const row = this.#rowOf(item);
        if (row.element === before) before = before.nextElementSibling;
        else this.#list.insertBefore(row.element, before);
      }
      while (before) {
        const next = before.nextElementSibling;
        before.remove();
        before = next;
      }
      for (const id of this.#rows.keys()) if (!this.#shelf.byId.has(id)) this.#rows.delete(id);
    }

    #row(id) {
      return this.#rows.get(id);
    }

    #rowOf(item) {
      const url = safeUrl(item.metadata?.url);
      let row = this.#rows.get(item.id);
      if (!row) {
        row = this.#newRow(item.id, url);
        this.#rows.set(item.id, row);
      }
      const age = this.#age(Date.parse(item.created_at));
      const isCurrent = item.id === this.#current;
      const seen = JSON.stringify([item.read, item.title, item.body, item.category, age, isCurrent]);
      if (row.seen === seen) return row;
      row.seen = seen;
      row.item = item;
      row.element.classList.toggle("is-unread", !item.read);
      row.open.tabIndex = row.away.tabIndex = isCurrent ? 0 : -1;
      row.dot.textContent = item.read ? "" : `${this.#say("dot")}: `;
      row.name.textContent = this.#title(item);
      row.text.textContent = isText(item.title) && isText(item.body) ? item.body : "";
      row.category.textContent = isText(item.category) ? item.category : "";
      row.category.hidden = row.category.textContent === "";
      row.time.textContent = age;
      const at = new Date(item.created_at);
      if (!Number.isNaN(at.getTime())) {
        row.time.dateTime = at.toISOString();
        row.time.title = this.#dates.format(at);
      }
      row.away.setAttribute("aria-label", this.#say("archive_one", { title: this.#title(item) }));
      row.away.title = this.#say("archive");
      return row;
    }

    #newRow(id, url) {
      const dot = make("span", { class: "hidden-text" });
      // Whatever language it is in, it says its direction itself.
      const name = make("bdi", { class: "name" });
      const text = make("span", { class: "text", dir: "auto" });
      const category = make("span", { class: "category", dir: "auto" });
      const time = make("time");
      const open = url
        ? make("a", { class: "open", href: url.href, rel: "noopener" })
        : make("button", { class: "open", type: "button" });
      if (url && url.origin !== location.origin) open.target = "_blank";
      open.append(dot, name, text, make("span", { class: "meta" }, [category, time]));
      const away = make("button", { class: "plain icon put-away", type: "button" }, [drawing("M3.5 5h17v4h-17z", "M5 9v10h14V9", "M10 13h4")]);
      const element = make("li", { "data-id": id }, [open, away]);
      const row = { element, open, away, dot, name, text, category, time, seen: "", item: null };
      open.addEventListener("click", (event) => this.#openItem(row.item, event));
      away.addEventListener("click", () => this.#archive(row.item));
      return row;
    }
  }

  customElements.define("fanfare-inbox", FanfareInbox);
})();
