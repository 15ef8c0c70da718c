//! The house rules as a test: who may know whom, which words are not used and by what they are replaced, and that what is
//! written twice (modules, configuration keys, metrics, dependencies) agrees. Each failure names the file, the line and what to
//! do instead. The largest files and functions are printed, so that growth is seen.

#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use source::{Source, files, lines, program, read, root};

/// Who may know whom: a module, and the modules that it may name. Every module may also use `config` and `telemetry`, except
/// `domain` and `codec`. `runtime` wires everything and may know all. A new arrow is a decision: it goes here or
/// into [`CLOSING_ARROWS`], with its reason.
const ARROWS: &[(&str, &[&str])] = &[
    // What things are: nobody else. How rows are written down: their words stand with the port that promises them.
    ("domain", &[]),
    ("codec", &["domain", "store"]),
    // Ports and what carries them: what things are, and how they are written down.
    ("clock", &["domain"]),
    ("disk", &["domain", "codec", "clock"]),
    ("log", &["domain", "codec", "clock", "disk", "store"]),
    ("store", &["domain", "codec", "clock", "disk"]),
    ("coordination", &["domain", "clock"]),
    // How requests to Amazon's services are signed: providers send by them, and the archive keeps files there.
    ("aws", &["domain"]),
    ("providers", &["domain", "clock", "aws"]),
    // The stages, in the order of the data: the ports, and the faces of the stages after them.
    ("ownership", &["domain", "clock", "store"]),
    // Who changes what is known of users tells the nodes that keep copies, over the log.
    ("users", &["domain", "codec", "clock", "log", "store"]),
    // What is written of people is sealed on its way to the store and the log; copies of secrets are dropped as those of users.
    ("sealing", &["domain", "codec", "clock", "store", "users"]),
    // Who follows what: rows of the store, walked by whoever tells the followers.
    ("subscriptions", &["domain", "codec", "clock", "store"]),
    // What was stopped by hand: read from the store, and asked about by whoever hands something on.
    ("brakes", &["domain", "clock", "store"]),
    // What was saved, and how its bodies are written down. Rendering is handed in.
    ("templates", &["domain", "codec", "clock", "store"]),
    (
        "intake",
        &[
            "domain",
            "codec",
            "clock",
            "log",
            "store",
            "coordination",
            "ownership",
            "planning",
            "dispatch",
            "outcomes",
            "timers",
            "brakes",
            "sealing",
        ],
    ),
    ("planning", &["domain", "clock", "store", "coordination", "users"]),
    // What those who save templates ask of it is the port in the face of `templates`.
    ("rendering", &["domain", "templates"]),
    (
        "dispatch",
        &[
            "domain",
            "clock",
            "store",
            "coordination",
            "providers",
            "ownership",
            "rendering",
            "outcomes",
            "brakes",
            "planning",
            "links",
        ],
    ),
    // A receipt is a provider's answer that comes later, or a reader's, by a link.
    ("outcomes", &["domain", "clock", "store", "ownership", "timers", "brakes", "users", "providers", "links"]),
    // What came to users in the product: rows; who tells of it, and who notes what users did, are handed in.
    ("inbox", &["domain", "codec", "clock", "store"]),
    // Who is connected: told by the inbox, and by other nodes over coordination.
    ("realtime", &["domain", "codec", "clock", "store", "coordination", "inbox", "links"]),
    // Signed by a secret of the configuration; where a link leads is the API's business.
    ("links", &["domain"]),
    ("timers", &["domain", "clock", "store", "ownership", "brakes"]),
    // Work that belongs to no shard, by leases of its own.
    ("homes", &["domain", "clock", "store", "ownership"]),
    // From one message for many to requests, which end at the one door.
    (
        "campaigns",
        &["domain", "codec", "clock", "store", "intake", "homes", "users", "subscriptions", "audience", "brakes"],
    ),
    // From what happened to requests, which end at the one door.
    ("audience", &["domain", "clock", "log", "store", "intake", "subscriptions"]),
    // What begins by itself at a time: campaigns, which are handed in, and events. Its definitions stand beside the rules.
    ("schedules", &["domain", "codec", "clock", "store", "intake", "homes", "users", "audience", "archive"]),
    // What is over, from rows to files. Up to where the log is done with is the log's to say.
    ("archive", &["domain", "codec", "clock", "log", "store", "homes", "aws"]),
    // All that is held of a user, wherever it is held; what cancels tasks, and how a notification reads, are handed in.
    (
        "privacy",
        &["domain", "codec", "clock", "store", "homes", "users", "sealing", "subscriptions", "inbox", "campaigns"],
    ),
    // Topics of programs: rows, and who has which home. Their own rows are theirs alone. The log may have topics for others to read.
    ("topics", &["domain", "codec", "clock", "log", "store", "homes", "ownership"]),
    // What reads the results. Analytics keep roll-ups of their own, each at its home.
    ("insight", &["domain", "codec", "clock", "log", "store", "ownership", "homes"]),
    // The surfaces: domain, ports to read, and the faces of the stages. The command line starts the engine.
    (
        "api",
        &[
            "domain",
            "codec",
            "clock",
            "log",
            "store",
            "providers",
            "intake",
            "planning",
            "rendering",
            "outcomes",
            "insight",
            "users",
            "subscriptions",
            "brakes",
            "templates",
            "links",
            "audience",
            "schedules",
            "topics",
            "campaigns",
            "inbox",
            "realtime",
            "privacy",
            "sealing",
        ],
    ),
    ("cli", &["domain", "clock", "log", "store", "api", "providers", "rendering", "templates", "runtime"]),
    // Plain structs and names: configuration reads channels; the metrics page keeps itself small by the clock.
    ("config", &["domain"]),
    ("telemetry", &["domain", "clock"]),
    // What tests share.
    ("testing", &[]),
];

/// The ring that the stages form is closed by these, each through a handle that stays while actors come and go.
const CLOSING_ARROWS: &[(&str, &str, &str)] = &[
    ("dispatch", "planning", "what waited is looked at again before it is sent, and the gates decide, not the sender"),
    ("timers", "dispatch", "what is due goes into the lanes again"),
    ("outcomes", "dispatch", "the next channel of a fallback goes into its lane as soon as the one before is settled"),
    (
        "outcomes",
        "log",
        "a dead record that is replayed enters where it entered before, and others read there what happened",
    ),
];

/// Words that are not used outside tests: the word, the paths where it may stand, and what to do instead.
const BANNED: &[(&str, &[&str], &str)] = &[
    (".unwrap()", &[], "return the error, or `expect(\"why it cannot be\")`"),
    ("dbg!", &[], "delete it, or make it a log line with keys"),
    ("todo!", &[], "write it, or leave the door away"),
    ("unimplemented!", &[], "write it, or leave the door away"),
    ("SystemTime::now", &["src/runtime/clock.rs", "loadtest/src/clock.rs"], "take a `clock::Clock`"),
    ("thread::sleep", &["src/runtime/clock.rs", "loadtest/"], "await the event, or give it to `timers`"),
    (
        "time::sleep",
        &["src/runtime/clock.rs", "loadtest/"],
        "await the event, ask `clock::Clock`, or give it to `timers`",
    ),
    ("unbounded_channel", &[], "use a bounded channel and slow the sender"),
    ("mpsc::channel()", &[], "use `sync_channel` or a bounded tokio channel"),
    (
        "fjall",
        &["src/disk/", "src/log/embedded/", "src/store/embedded/"],
        "use the port; a backend is known in its folder only",
    ),
    ("static mut", &[], "pass the state to who needs it"),
    ("thread_rng", &[], "take randomness as a parameter"),
];

/// Crates that must not come in, by their name in `Cargo.lock`.
const BANNED_CRATES: &[(&str, &str)] = &[
    ("native-tls", "TLS is rustls with ring everywhere"),
    ("aws-lc-sys", "TLS is rustls with ring everywhere: one crypto library, and no cmake to build it"),
    ("rsa", "RUSTSEC-2023-0071: ring signs"),
];

#[test]
fn modules_know_only_whom_they_may_know() {
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let modules: BTreeSet<String> = program("src").iter().map(|source| source.folder().to_owned()).collect();
    let mut failures = Vec::new();
    for source in program("src") {
        let from = source.folder();
        if ["runtime", "main", "lib"].contains(&from) {
            continue;
        }
        let Some(allowed) = table.get(from) else {
            failures.push(format!(
                "{}: `{from}` has no row in ARROWS (tests/tidy.rs): say whom it may know",
                source.place(0)
            ));
            continue;
        };
        for (offset, to) in source.references() {
            let common = ["config", "telemetry"].contains(&to.as_str()) && !["domain", "codec"].contains(&from);
            let closing = CLOSING_ARROWS.iter().any(|(a, b, _)| *a == from && *b == to);
            if to != from && modules.contains(&to) && !common && !closing && !allowed.contains(&to.as_str()) {
                failures.push(format!(
                    "{}: `{from}` must not know `{to}`: hand it in from `runtime`, move the type to who receives it, or decide for a new \
                     arrow in ARROWS (tests/tidy.rs) with its reason",
                    source.place(offset)
                ));
            }
        }
    }
    report(failures);
}

#[test]
fn banned_words_are_not_used_outside_tests() {
    let mut failures = Vec::new();
    for source in program("src").iter().chain(&program("loadtest/src")) {
        for (word, places, instead) in BANNED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            let found = source.find(word);
            failures.extend(
                found.iter().map(|offset| format!("{}: `{word}` is not used: {instead}", source.place(*offset))),
            );
        }
    }
    report(failures);
}

#[test]
fn every_allow_says_why() {
    let mut failures = Vec::new();
    for source in program("src").iter().chain(&program("loadtest/src")) {
        let raw: Vec<&str> = source.raw.lines().collect();
        for attribute in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
            for offset in source.find(attribute) {
                let line = lines(&source.raw[..offset]) - 1;
                let item = &source.raw[offset..offset + source.code[offset..].find(']').unwrap_or_default()];
                let above = line.checked_sub(1).map_or("", |above| raw[above].trim());
                let explained = item.contains("reason") || raw[line].contains("// ") || above.starts_with("// ");
                if !explained {
                    failures.push(format!("{}: `{attribute}…` without `reason = \"…\"`", source.place(offset)));
                }
            }
        }
    }
    report(failures);
}

#[test]
fn comments_leave_nothing_to_do_behind() {
    let mut failures = Vec::new();
    for source in ["src", "loadtest/src", "tests"].iter().flat_map(|folder| source::all(folder)) {
        for word in ["TODO", "FIXME", "XXX"] {
            for (offset, _) in source.comments.match_indices(word) {
                if !source.comments[offset + word.len()..].starts_with("(#") {
                    let place = source.place(offset);
                    failures.push(format!("{place}: `{word}`: do it now, or name the issue as `{word}(#12)`"));
                }
            }
        }
    }
    report(failures);
}

#[test]
fn planning_is_pure() {
    let mut failures = Vec::new();
    for source in program("src/planning").iter().filter(|source| !source.path.starts_with("src/planning/facts")) {
        for word in ["async", "Instant::now", "tokio"] {
            let found = source.find(word);
            failures.extend(found.iter().map(|offset| {
                format!(
                    "{}: `{word}` in planning: read it below `planning/facts.rs` and pass it in",
                    source.place(*offset)
                )
            }));
        }
    }
    report(failures);
}

#[test]
fn every_module_is_on_the_map_and_in_the_architecture() {
    let (map, architecture) = (read("src/lib.rs"), read("docs/architecture.md"));
    let mut failures = Vec::new();
    for module in program("src").iter().map(|source| source.folder().to_owned()).collect::<BTreeSet<String>>() {
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        if !map.contains(&format!("mod {module};")) {
            failures.push(format!(
                "src/lib.rs: `{module}` is missing: declare it where it stands in the order of the data"
            ));
        }
        if !architecture.contains(&format!("`{module}/`")) && !architecture.contains(&format!("`{module}.rs`")) {
            failures.push(format!("docs/architecture.md: `{module}/` is missing: say in a paragraph what it is for"));
        }
    }
    report(failures);
}

#[test]
fn every_configuration_key_stands_in_the_configuration_file() {
    let structs = structs(&program("src/config"));
    let written = written_keys(&read("config/fanfare.toml"));
    let mut failures = Vec::new();
    let mut open = vec![("Config".to_owned(), String::new())];
    while let Some((name, section)) = open.pop() {
        for (field, kind, place) in structs.get(&name).into_iter().flatten() {
            let key = if section.is_empty() { field.clone() } else { format!("{section}.{field}") };
            let inner = kind.trim_start_matches("Vec<").trim_start_matches("Option<").trim_end_matches('>');
            if structs.contains_key(inner) {
                open.push((inner.to_owned(), key));
            } else if !written.contains(&key) && !written.iter().any(|other| other.starts_with(&format!("{key}."))) {
                failures
                    .push(format!("{place}: `{key}` is not in config/fanfare.toml: write it there, with its meaning"));
            }
        }
    }
    if structs.is_empty() {
        failures.push("src/config: no `struct Config` found: mend this rule in tests/tidy.rs".to_owned());
    }
    report(failures);
}

/// The fields of each struct of the configuration: name, type, place.
fn structs(sources: &[Source]) -> BTreeMap<String, Vec<(String, String, String)>> {
    let mut found = BTreeMap::new();
    for source in sources {
        for offset in source.find("pub struct") {
            let Some((head, body)) = source.code[offset..].split_once(['{', ';', '(']) else { continue };
            let name = head.trim_start_matches("pub struct").trim().to_owned();
            if !source.code[offset + head.len()..].starts_with('{') {
                continue;
            }
            let place = |line: &str| {
                let below = line.as_ptr() as usize - body.as_ptr() as usize;
                source.place(offset + head.len() + 1 + below)
            };
            let fields: Vec<(String, String, String)> = body[..body.find('}').unwrap_or(body.len())]
                .lines()
                .filter_map(|line| Some((line.trim().strip_prefix("pub ")?.split_once(": ")?, line)))
                .map(|((field, kind), line)| (field.to_owned(), kind.trim_end_matches(',').to_owned(), place(line)))
                .collect();
            found.insert(name, fields);
        }
    }
    found.retain(|_, fields: &mut Vec<_>| !fields.is_empty());
    found
}

/// The keys of a TOML file, with those that are only shown as comments.
fn written_keys(toml: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for line in toml.lines().map(|line| line.trim().trim_start_matches("# ").trim_start_matches('#').trim()) {
        if line.starts_with('[') && line.contains(']') && !line.contains('=') {
            section = line.split(']').next().unwrap_or_default().trim_start_matches('[').to_owned();
            keys.insert(section.clone());
        } else if let Some((key, _)) = line.split_once('=')
            && !key.trim().is_empty()
            && key.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
        {
            keys.insert(if section.is_empty() { key.trim().to_owned() } else { format!("{section}.{}", key.trim()) });
        }
    }
    keys
}

#[test]
fn metrics_and_their_manual_agree() {
    let manual = read("docs/metrics.md");
    let documented: BTreeSet<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(['`', '{']).next())
        .filter(|name| name.starts_with("fanfare_"))
        .collect();
    let mut failures = Vec::new();
    let mut used = BTreeSet::new();
    for source in program("src") {
        for (offset, text) in &source.strings {
            let Some(rest) = text.strip_prefix("fanfare_") else { continue };
            if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                continue;
            }
            if !documented.contains(text.as_str()) {
                failures.push(format!("{}: `{text}` is not in docs/metrics.md: add its row", source.place(*offset)));
            }
            used.insert(text.clone());
        }
    }
    for name in documented.iter().filter(|name| !used.contains(**name)) {
        failures.push(format!("docs/metrics.md: `{name}` is used nowhere: take the row out, or the name is wrong"));
    }
    report(failures);
}

/// The names of metrics in an expression of Prometheus, as the engine has them: without what a histogram adds.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | ':');
    let words = text.split(|letter: char| !is_part(letter)).filter(|word| word.starts_with("fanfare_"));
    let bare = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    words.map(bare).collect()
}

#[test]
fn rules_dashboards_and_runbooks_ask_for_metrics_that_there_are() {
    let manual = read("docs/metrics.md");
    let mut failures = Vec::new();
    for folder in ["deploy/prometheus/rules", "deploy/grafana/dashboards", "docs/runbooks"] {
        for file in files(folder) {
            let text = std::fs::read_to_string(&file).expect("readable");
            for name in metrics_in(&text).iter().filter(|name| !manual.contains(&format!("| `{name}`"))) {
                failures.push(format!("{}: there is no metric `{name}`", file.display()));
            }
        }
    }
    report(failures);
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let rules: String =
        files("deploy/prometheus/rules").iter().map(|file| std::fs::read_to_string(file).expect("readable")).collect();
    let of = |key: &str| -> Vec<String> {
        rules
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix(key))
            .map(|rest| rest.trim().to_owned())
            .collect()
    };
    let (alerts, pages) = (of("- alert:"), of("runbook_url:"));
    let mut failures = Vec::new();
    if alerts.len() != pages.len() {
        failures.push(format!("{} alerts have {} `runbook_url`s: each needs one", alerts.len(), pages.len()));
    }
    for (alert, page) in alerts.iter().zip(&pages) {
        let first = std::fs::read_to_string(root().join(page)).unwrap_or_default();
        if first.lines().next() != Some(&format!("# {alert}")) {
            failures.push(format!("`{page}` is not the page of {alert}: write it, or mend its heading"));
        }
    }
    for file in files("docs/runbooks").iter().filter(|file| !file.ends_with("README.md")) {
        if !pages.iter().any(|page| file.ends_with(page)) {
            failures.push(format!("{}: no alert leads here", file.display()));
        }
    }
    report(failures);
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = read("docs/dependencies.md");
    let mut failures = Vec::new();
    for manifest in ["Cargo.toml", "loadtest/Cargo.toml"] {
        let table: toml::Table = read(manifest).parse().expect("cargo has read it before");
        for section in ["dependencies", "dev-dependencies"] {
            for name in
                table.get(section).and_then(|section| section.as_table()).into_iter().flat_map(|table| table.keys())
            {
                if !reasons.lines().any(|line| line.starts_with("| ") && line.contains(&format!("`{name}`"))) {
                    failures.push(format!(
                        "{manifest}: `{name}` has no line in docs/dependencies.md: say why it is needed"
                    ));
                }
            }
        }
    }
    let lock = read("Cargo.lock");
    for (name, instead) in BANNED_CRATES {
        if lock.contains(&format!("name = \"{name}\"\n")) {
            failures.push(format!("Cargo.lock: `{name}` came in (`cargo tree -i {name}` shows by whom): {instead}"));
        }
    }
    report(failures);
}

/// Not a rule: a list to look at. Files above 400 lines and functions above 80, the largest first.
#[test]
fn the_largest_files_and_functions_are_listed() {
    let (mut files, mut functions) = (Vec::new(), Vec::new());
    for source in program("src").iter().chain(&program("loadtest/src")) {
        let code = source.code.trim_end();
        files.push((lines(code), source.path.clone()));
        for (name, start, end) in source.functions() {
            functions.push((lines(&source.code[start..end]), format!("{} `{name}`", source.place(start))));
        }
    }
    // The handle itself, not `println!`: the list is to be seen when the test passes.
    let mut out = std::io::stderr().lock();
    for (what, limit, mut sizes) in [("files", 400, files), ("functions", 80, functions)] {
        sizes.retain(|(size, _)| *size > limit);
        sizes.sort_by(|a, b| b.cmp(a));
        for (size, name) in sizes.iter().take(10) {
            writeln!(out, "large {what}: {size} lines, {name}").expect("stderr is open");
        }
    }
}

#[test]
fn the_rules_see_code_and_not_comments_strings_or_tests() {
    let text = r##"
        use crate::store::{self, Store};
        use crate::{domain::Task, log};
        fn a() { let b = "crate::api /* "; /* crate::cli */ call(b'{', '"', r#"crate::cli"#); }
        #[cfg(test)]
        fn c<T, U>() { crate::cli::x().unwrap() }
        fn d() -> [u8; 4] {
            crate::disk::open()
        }
        #[cfg(test)]
        mod tests { use crate::cli; }
        fn e(a: &'static str) { super::super::intake::f() } // crate::cli
        #[cfg(test)] mod slow;
    "##;
    let source = Source::parse("src/timers/due.rs".to_owned(), text.to_owned());
    let mut seen: Vec<String> = source.references().into_iter().map(|(_, name)| name).collect();
    seen.sort();
    assert_eq!(seen, ["disk", "domain", "intake", "log", "store"]);
    let functions: Vec<(String, usize)> =
        source.functions().into_iter().map(|(name, start, end)| (name, lines(&source.code[start..end]))).collect();
    assert_eq!(functions, [("a".to_owned(), 1), ("d".to_owned(), 3), ("e".to_owned(), 1)]);
    assert!(source.find(".unwrap()").is_empty());
    assert!(source.comments.contains("crate::cli"));
}

#[track_caller]
fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}
