//! The pages: their files come with the right types and headers, name no other host, and have no script or style within.

use axum::body::Body;
use axum::http::Request;

use super::world::World;
use crate::api::resources::pages::all;

#[tokio::test]
async fn every_file_of_a_page_comes_with_its_type_its_tag_and_a_policy() {
    let world = World::new();
    for (path, file) in all() {
        let answer = world.send("GET", &path, "none", Body::empty()).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.text, file.text, "{path}");
        let expected = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(answer.header("content-type"), expected, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        let kept = match () {
            () if path == "/inbox/fanfare-inbox.js" => "public, max-age=300, must-revalidate",
            () if expected.starts_with("text/html") => "no-store",
            () => "no-cache",
        };
        assert_eq!(answer.header("cache-control"), kept, "{path}");
        let policy = answer.header("content-security-policy");
        for part in ["script-src 'self'", "base-uri 'none'", "frame-ancestors"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        let tag = answer.header("etag").to_owned();
        let known = Request::get(&path).header("if-none-match", format!("\"other\", {tag}"));
        let answer = world.call(known.body(Body::empty()).expect("a request")).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""), "{path}");
        let unknown = Request::get(&path).header("if-none-match", "\"other\"");
        assert_eq!(world.call(unknown.body(Body::empty()).expect("a request")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_console_may_do_nothing_inline_and_only_the_frame_of_a_message_may_have_styles_of_its_own() {
    let world = World::new();
    let policy = async |path: &str| {
        world.send("GET", path, "none", Body::empty()).await.header("content-security-policy").to_owned()
    };
    let console = policy("/console").await;
    assert_eq!(
        console,
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; frame-src 'self'; \
         object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    );
    let frame = policy("/console/preview.html").await;
    for part in ["default-src 'none'", "sandbox allow-scripts", "frame-ancestors 'self'", "form-action 'none'"] {
        assert!(frame.contains(part), "{frame}");
    }
    assert!(!frame.contains("allow-same-origin") && !frame.contains("script-src 'self' "), "{frame}");
    for (path, _) in all() {
        assert_eq!(policy(&path).await.contains("'unsafe-inline'"), path == "/console/preview.html", "{path}");
    }
}

#[tokio::test]
async fn a_file_that_is_none_is_404() {
    let world = World::new();
    for path in ["/console/none.js", "/console/base.css", "/assets/main.js", "/console/..%2fmain.js", "/console/%ff"] {
        world.send("GET", path, "none", Body::empty()).await.assert_problem(404);
    }
    world.send("POST", "/console", "none", Body::empty()).await.assert_problem(405);
}

/// Without what stands in comments, which nothing loads.
fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_file_names_another_host_or_makes_markup_of_text() {
    for (path, file) in all() {
        let text = without_comments(file.text);
        let without_namespaces = text.replace("http://www.w3.org/", "");
        for word in ["http://", "https://", "src=\"//", "url(//"] {
            assert!(!without_namespaces.contains(word), "{path} has `{word}`");
        }
        if !path.starts_with("/assets/uplot") {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!text.contains(word), "{path} has `{word}`: text from data goes into `textContent`");
            }
        }
    }
}

#[test]
fn no_page_has_a_script_a_style_or_a_handler_within() {
    for (path, file) in all().into_iter().filter(|(path, _)| path == "/console" || path.ends_with(".html")) {
        let text = file.text;
        assert!(!text.contains("<style") && !text.contains(" style="), "{path} has a style within");
        assert!(!text.split("<script").skip(1).any(|script| !script.contains("></script>")), "{path}: a script within");
        let has_handler = text.split_whitespace().any(|word| word.starts_with("on") && word.contains("=\""));
        assert!(!has_handler && !text.contains("javascript:"), "{path} has a handler within");
    }
}

#[test]
fn every_file_that_a_page_asks_for_is_there() {
    let files = all();
    let is_there = |address: &str| files.iter().any(|(path, _)| path == address);
    for (path, file) in &files {
        let quoted = file.text.split('"').filter(|word| word.starts_with("/console/") || word.starts_with("/assets/"));
        for address in quoted {
            assert!(is_there(address), "{path} asks for {address}");
        }
        for module in file.text.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(is_there(&format!("/console/{module}")), "{path} asks for {module}");
        }
    }
}
