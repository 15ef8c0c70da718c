//! Pages for people, and the files they are made of: the console, the inbox component with its demo, and the style of the pages of
//! recipients. The component alone may be loaded by pages of others.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderMap;

use super::files::{File, find};
use crate::api::routes::Answer;

/// What the pages may do: use the files beside them, call this server, and show pictures that are part of the page.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; frame-src 'self'; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// The frame in which a rendered message is shown. A message has styles of its own, which the policy above would take from it, and
/// a frame made of a text (`srcdoc`) has the policy of its page. So the frame is a page with a policy of its own: styles,
/// but no host, no form and no script but the one that puts the message there; and an origin that is nobody's.
const PREVIEW_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; \
                              base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts";

/// Of the address `/console` itself.
const CONSOLE_PAGE: File = File::html("console", POLICY, include_str!("../../../web/console/index.html"));

/// The files of the console.
const CONSOLE: &[File] = &[
    File::html("preview.html", PREVIEW_POLICY, include_str!("../../../web/console/preview.html")),
    script("preview.js", include_str!("../../../web/console/preview.js")).for_frames(),
    style("console.css", include_str!("../../../web/console/console.css")),
    script("main.js", include_str!("../../../web/console/main.js")),
    script("api.js", include_str!("../../../web/console/api.js")),
    script("session.js", include_str!("../../../web/console/session.js")),
    script("dom.js", include_str!("../../../web/console/dom.js")),
    script("table.js", include_str!("../../../web/console/table.js")),
    script("form.js", include_str!("../../../web/console/form.js")),
    script("dialog.js", include_str!("../../../web/console/dialog.js")),
    script("words.js", include_str!("../../../web/console/words.js")),
    script("live.js", include_str!("../../../web/console/live.js")),
    script("chart.js", include_str!("../../../web/console/chart.js")),
    script("message.js", include_str!("../../../web/console/message.js")),
    script("overview.js", include_str!("../../../web/console/overview.js")),
    script("notifications.js", include_str!("../../../web/console/notifications.js")),
    script("send.js", include_str!("../../../web/console/send.js")),
    script("providers.js", include_str!("../../../web/console/providers.js")),
    script("campaigns.js", include_str!("../../../web/console/campaigns.js")),
    script("dead-letters.js", include_str!("../../../web/console/dead-letters.js")),
    script("templates.js", include_str!("../../../web/console/templates.js")),
    script("template-editor.js", include_str!("../../../web/console/template-editor.js")),
    script("schedules.js", include_str!("../../../web/console/schedules.js")),
    script("rules.js", include_str!("../../../web/console/rules.js")),
    script("template-versions.js", include_str!("../../../web/console/template-versions.js")),
    script("user.js", include_str!("../../../web/console/user.js")),
    script("suppressions.js", include_str!("../../../web/console/suppressions.js")),
    script("users.js", include_str!("../../../web/console/users.js")),
    script("brakes.js", include_str!("../../../web/console/brakes.js")),
    script("outbox.js", include_str!("../../../web/console/outbox.js")),
    script("analytics.js", include_str!("../../../web/console/analytics.js")),
    script("accounting.js", include_str!("../../../web/console/accounting.js")),
    script("audit.js", include_str!("../../../web/console/audit.js")),
];

/// What several pages use.
const ASSETS: &[File] = &[
    style("base.css", include_str!("../../../web/shared/base.css")),
    script("theme.js", include_str!("../../../web/shared/theme.js")),
    style("uplot.css", include_str!("../../../web/vendor/uplot/uPlot.min.css")),
    script("uplot.js", include_str!("../../../web/vendor/uplot/uPlot.iife.min.js")),
];

/// What the demo may do: use the files beside it, and call this server (`connect-src 'self'` takes its WebSocket in as well).
const DEMO_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Of the address `/inbox-demo` itself.
const DEMO: File = File::html("inbox-demo", DEMO_POLICY, include_str!("../../../web/inbox/demo.html"));

/// `/inbox/{file}`.
const INBOX: &[File] = &[
    File::script("fanfare-inbox.js", DEMO_POLICY, include_str!("../../../web/inbox/fanfare-inbox.js")).for_all(),
    File::script("demo.js", DEMO_POLICY, include_str!("../../../web/inbox/demo.js")),
    File::style(
        "demo.css",
        DEMO_POLICY,
        concat!(include_str!("../../../web/shared/base.css"), "\n", include_str!("../../../web/inbox/demo.css")),
    ),
];

/// `/pages/{file}`.
const PAGES: &[File] = &[File::style(
    "recipient.css",
    DEMO_POLICY,
    concat!(include_str!("../../../web/shared/base.css"), "\n", include_str!("../../../web/pages/recipient.css")),
)];

/// All files, with their addresses.
#[cfg(test)]
pub(in crate::api) fn all() -> Vec<(String, &'static File)> {
    let of = |folder: &'static str, files: &'static [File]| {
        files.iter().map(move |file| (format!("/{folder}/{}", file.name), file))
    };
    let pages = [("/console".to_owned(), &CONSOLE_PAGE), ("/inbox-demo".to_owned(), &DEMO)];
    let files = of("console", CONSOLE).chain(of("assets", ASSETS)).chain(of("inbox", INBOX)).chain(of("pages", PAGES));
    pages.into_iter().chain(files).collect()
}

/// `GET /console`.
pub(in crate::api) async fn console(headers: HeaderMap) -> Answer {
    Ok(CONSOLE_PAGE.answer(&headers))
}

/// `GET /console/{file}`.
pub(in crate::api) async fn console_file(path: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Answer {
    find(CONSOLE, path, &headers)
}

/// `GET /assets/{file}`.
pub(in crate::api) async fn asset(path: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Answer {
    find(ASSETS, path, &headers)
}

/// `GET /inbox-demo`.
pub(in crate::api) async fn demo(headers: HeaderMap) -> Answer {
    Ok(DEMO.answer(&headers))
}

/// `GET /inbox/{file}`.
pub(in crate::api) async fn of_inbox(path: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Answer {
    find(INBOX, path, &headers)
}

/// `GET /pages/{file}`.
pub(in crate::api) async fn of_pages(path: Result<Path<String>, PathRejection>, headers: HeaderMap) -> Answer {
    find(PAGES, path, &headers)
}

const fn style(name: &'static str, text: &'static str) -> File {
    File::style(name, POLICY, text)
}

const fn script(name: &'static str, text: &'static str) -> File {
    File::script(name, POLICY, text)
}
