use std::time::Duration;

use super::*;

fn with_file(text: &str) -> Result<Loaded, ConfigError> {
    load_from(Some(("my.toml", text)), [])
}

fn with_variable(name: &str, value: &str) -> Result<Loaded, ConfigError> {
    load_from(None, [(name.to_owned(), value.to_owned())])
}

fn message(outcome: Result<Loaded, ConfigError>) -> String {
    outcome.expect_err("must be refused").to_string()
}

#[test]
fn the_defaults_load_and_are_what_the_contract_says() {
    let loaded = load_from(None, []).expect("the defaults load");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let config = loaded.config;
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.keys[0].key.expose(), "dev");
    assert_eq!(config.log.partitions, 8);
    assert_eq!(config.retry.delays, [60, 120, 240].map(Duration::from_secs));
    assert_eq!(config.retry.jitter, 0.1);
    assert_eq!(config.dedup.window, Duration::from_secs(300));
    assert_eq!(config.providers[0].kind, "sandbox");
    assert_eq!(config.providers[0].channels.len(), 6);
    assert!(!config.security.allow_private_addresses);
}

#[test]
fn a_file_is_laid_over_the_defaults_and_its_lists_replace() {
    let config = with_file(
        r#"
        [retry]
        delays = ["5s"]
        [[providers]]
        name = "hooks"
        kind = "webhook"
        "#,
    )
    .expect("valid")
    .config;
    assert_eq!(config.retry.delays, [Duration::from_secs(5)]);
    assert_eq!(config.retry.jitter, 0.1);
    assert_eq!(config.providers.len(), 1);
    assert_eq!(config.providers[0].name, "hooks");
}

#[test]
fn the_environment_is_laid_over_both() {
    let check = |name: &str, value: &str, seen: fn(&Config) -> String, expected: &str| {
        let loaded = with_variable(name, value).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(seen(&loaded.config), expected, "{name}");
    };
    check("FANFARE__LOG__PARTITIONS", "3", |config| config.log.partitions.to_string(), "3");
    check("FANFARE__HTTP__LISTEN", "127.0.0.1:9", |config| config.http.listen.to_string(), "127.0.0.1:9");
    check("FANFARE__DISPATCH__WEIGHTS", "[3, 2, 1]", |config| format!("{:?}", config.dispatch.weights), "[3, 2, 1]");
    check("FANFARE__HTTP__KEYS__0__KEY", "12345", |config| config.http.keys[0].key.expose().to_owned(), "12345");
    check("FANFARE__PROVIDERS__0__NAME", "tray", |config| config.providers[0].name.clone(), "tray");
    check(
        "FANFARE__SECURITY__ALLOW_PRIVATE_ADDRESSES",
        "true",
        |config| config.security.allow_private_addresses.to_string(),
        "true",
    );
    let two = [("FANFARE__PROVIDERS__1__NAME", "b"), ("FANFARE__PROVIDERS__1__KIND", "sandbox"), ("FANFARE_URL", "x")];
    let loaded = load_from(None, two.map(|(name, value)| (name.to_owned(), value.to_owned()))).expect("valid");
    assert_eq!(loaded.config.providers.len(), 2);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    let check = |outcome, expected: &[&str]| {
        let message = message(outcome);
        for part in expected {
            assert!(message.contains(part), "{message}");
        }
    };
    check(with_file("[http]\nlisen = \"127.0.0.1:1\"\n"), &["my.toml, line 2", "`http.lisen`", "`http.listen`"]);
    check(with_file("\n[htp]\nlisten = \"127.0.0.1:1\"\n"), &["my.toml, line 2", "`htp`", "`http`"]);
    check(
        with_file("[[providers]]\nname = \"a\"\nkind = \"webhook\"\ntimeouts = \"1s\"\n"),
        &["line 4", "`providers.0.timeouts`", "`providers.0.timeout`"],
    );
    check(with_variable("FANFARE__RETRY__JITER", "0.2"), &["`FANFARE__RETRY__JITER`", "`retry.jitter`"]);
    check(with_variable("FANFARE__PROVIDERS__7__NAME", "x"), &["FANFARE__PROVIDERS__7__NAME", "next index is 1"]);
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_without_its_secret() {
    let check = |outcome, expected: &[&str]| {
        let message = message(outcome);
        for part in expected {
            assert!(message.contains(part), "{message}");
        }
    };
    check(with_file("[log]\npartitions = -1\n"), &["line 2", "`log.partitions`", "-1"]);
    check(with_file("[retry]\ndelays = [\"1m\", \"soon\"]\n"), &["line 2", "retry.delays", "soon"]);
    check(with_file("[http\n"), &["my.toml, line 1"]);
    check(with_variable("FANFARE__RETRY__JITTER", "much"), &["FANFARE__RETRY__JITTER", "retry.jitter"]);
    let message = message(with_file("[[http.keys]]\nkey = 4711\ntenant = \"t\"\nscopes = [\"send\"]\n"));
    assert!(message.contains("http.keys.0.key") && !message.contains("4711"), "{message}");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let check = |text: &str, expected: &str| {
        let message = message(with_file(text));
        assert!(message.contains(expected), "{message}");
    };
    check("[http]\nlisten = \"0.0.0.0:8080\"\n", "the key \"dev\"");
    check("[http]\nkeys = []\n", "http.keys");
    check("[http]\nmax_body = \"9 MiB\"\n", "max_batch_body");
    check("[dispatch]\ncritical_share = 1.5\n", "critical_share");
    check("[dispatch]\nweights = [1, 1, 0]\n", "weights");
    check("[store.embedded]\ngroup_commit = \"1s\"\n", "group_commit");
    check("[telemetry]\nlog_filter = \"fanfare=loud\"\n", "telemetry.log_filter");
    check("[log.kafka]\ngeneration = 253\n", "0 to 252");
    check("[log.kafka.options]\nacks = \"1\"\n", "`log.kafka.options` sets `acks`");
    check("[attachments]\ntimeout = \"0s\"\n", "`attachments.timeout`");
    check("[attachments]\nmax_size = \"0 B\"\n", "`attachments.max_size`");
    check("[attachments]\nmemory = \"19 MiB\"\n", "twice `attachments.max_size`");
    check("providers = [{ name = \"a\", kind = \"sandbox\" }, { name = \"a\", kind = \"sandbox\" }]\n", "called `a`");
}

#[test]
fn what_is_risky_is_warned_of() {
    let check = |text: &str, expected: &str| {
        let warnings = with_file(text).expect("legal").warnings;
        assert!(warnings.iter().any(|warning| warning.contains(expected)), "{warnings:?}");
    };
    check("[security]\nallow_private_addresses = true\n", "allow_private_addresses");
    check("providers = []\n", "no providers");
    check("providers = [{ name = \"hooks\", kind = \"webhook\" }]\n", "provider `hooks`: without `signing_secret`");
    let signed = "providers = [{ name = \"hooks\", kind = \"webhook\", signing_secret = \"whsec_x\" }]\n";
    assert_eq!(with_file(signed).expect("legal").warnings, [""; 0]);
    let mail = |url: &str| {
        format!(
            "providers = [{{ name = \"mail\", kind = \"smtp\", url = \"smtp://localhost\" }}]\n[http]\npublic_url = \"{url}\"\n"
        )
    };
    check(&mail("http://n.example.com"), "one click over https only");
    for url in ["https://n.example.com", "http://127.0.0.1:8080", "http://localhost:8080"] {
        assert_eq!(with_file(&mail(url)).expect("legal").warnings, [""; 0], "{url}");
    }
    check("[dispatch]\ndrain_timeout = \"1s\"\n", "sandbox");
    check("[attachments]\ntimeout = \"11s\"\n", "may leave mails with attachments in doubt");
    check("[[http.keys]]\nkey = \"short\"\ntenant = \"t\"\nscopes = [\"send\"]\n", "guessed");
}

#[test]
fn a_log_that_nodes_share_goes_with_a_store_that_they_share() {
    with_file("[log.kafka]\nbrokers = \"k:9092\"\n[store.cql]\nnodes = [\"a:1\"]\n[coordination.redis]\nurl = \"redis://r\"\n")
        .expect("these sections are legal with the embedded backends");
    with_file("[coordination]\nbackend = \"redis\"\n").expect("Redis may coordinate, whatever keeps the log");
    let both = "[log]\nbackend = \"kafka\"\n[store]\nbackend = \"cql\"\n";
    let warnings = with_file(both).expect("they go together").warnings;
    assert!(warnings.iter().any(|warning| warning.contains("coordination.backend")), "{warnings:?}");
    let elsewhere = format!("{both}[log.kafka]\nbrokers = \"k:9092\"\n");
    let warnings = with_file(&elsewhere).expect("they go together").warnings;
    assert!(warnings.iter().any(|warning| warning.contains("cluster.advertise")), "{warnings:?}");
    for one in ["[log]\nbackend = \"kafka\"\n", "[store]\nbackend = \"cql\"\n"] {
        assert!(message(with_file(one)).contains("both be embedded, or be kafka and cql"), "{one}");
    }
    let short = format!("{both}[cluster]\nlease = \"15s\"\n");
    assert!(message(with_file(&short)).contains("`cluster.lease` must be at least 20s"), "the sandbox may take 10 s");
}

#[test]
fn the_shipped_categories_are_those_of_the_manual_and_a_file_replaces_them_all() {
    let categories = |text: &str| with_file(text).expect("valid").config.categories().expect("the default is there");
    let shipped = categories("");
    assert_eq!(shipped.names(), ["transactional", "security", "social", "marketing", "reminder", "system"]);
    assert_eq!(&*shipped.of(None).name, "transactional");
    let security = shipped.get("security").expect("shipped");
    assert!(security.ignores_quiet_hours && !security.opt_out);
    assert_eq!(security.priority, crate::domain::Priority::Critical);
    let own = categories("[planning]\ndefault_category = \"news\"\n[[categories]]\nname = \"news\"\n");
    assert_eq!(own.names(), ["news"]);
    assert!(own.of(None).opt_out && own.of(None).is_on);
}

#[test]
fn rules_of_planning_that_cannot_be_are_refused() {
    let check = |text: &str, expected: &str| {
        let message = message(with_file(text));
        assert!(message.contains(expected), "{message}");
    };
    let category = |keys: &str| format!("[planning]\ndefault_category = \"a\"\n[[categories]]\nname = \"a\"\n{keys}\n");
    check(&category("channels = [\"fax\"]"), "`fax`");
    check(&category("channels = [\"sms\", \"sms\"]"), "has sms twice");
    check(&category("priority = \"urgent\""), "`urgent` is no priority");
    check(&category("quiet_hours = { from = \"22:00\", to = \"22:00\" }"), "whole day");
    check(&category("quiet_hours = { from = \"00:00\", to = \"23:59\" }"), "leave an hour");
    check(&category("quiet_hours = { from = \"09:00\", to = \"08:01\" }"), "category `a`: `quiet_hours`: from 09:00");
    check(&category("enabled = false\nopt_out = false"), "nobody would ever get it");
    check(&category("daily_cap = 0"), "`daily_cap` of 0");
    check(&category("ignores_caps = true\nreminder = true"), "cannot ignore caps");
    check(&category("daily_cap = -1"), "`-1` is no cap: write a number from 1 to 4294967295, or leave it out");
    check("[fatigue]\nmax = 0\n", "`fatigue.max`");
    check("[fatigue]\ndaily_cap = 4294967296\n", "from 1 to 4294967295");
    check(&category("daily_cup = 1"), "unknown key `categories.0.daily_cup`");
    check(&category("[[categories]]\nname = \"a\""), "two categories are called `a`");
    check("[[categories]]\nname = \"news\"\n", "`planning.default_category` is `transactional`");
    check("categories = []\n", "replaces the whole list");
    check("[quiet_hours]\nfrom = \"08:00\"\n", "whole day");
    check("[quiet_hours]\nfrom = \"00:00\"\nto = \"23:59\"\n", "`quiet_hours`: from 00:00 to 23:59 is the whole day");
    with_file("[quiet_hours]\nfrom = \"09:00\"\nto = \"08:00\"\n").expect("an hour is left");
    with_file("[quiet_hours]\nenabled = false\nfrom = \"08:00\"\n").expect("they are off");
    check("[quiet_hours]\nfrom = \"25:00\"\n", "`25:00` is no time of day");
    check("[planning]\ntimezone = \"Mars/Olympus\"\n", "`Mars/Olympus` is no time zone");
    let calendar = |keys: &str| format!("[[calendars]]\nname = \"c\"\n{keys}\n");
    check(&calendar("locales = [\"de\"]\ndays = [\"02-30\"]"), "`02-30` is no day");
    check(&calendar("locales = []\ndays = []"), "nobody's");
    check(&calendar("locales = [\"de_DE\"]\ndays = []"), "`de_DE` is no language");
    check(&calendar("locales = [\"d\"]\ndays = [\"12-25\"]"), "`d` is no language: write it as");
    check(&calendar("locales = [\"de\"]\ndays = []"), "`days` must have 1 to 200 entries, as [\"12-25\"");
    for locale in ["*", "de", "de-AT", "zh-Hant-TW", "es-419"] {
        with_file(&calendar(&format!("locales = [\"{locale}\"]\ndays = [\"12-25\"]"))).expect("a calendar");
    }
    check("[routing]\ncritical = []\ncheapest = []\notherwise = []\n", "no channel could be chosen");
    with_file("[routing]\ncritical = []\notherwise = []\n").expect("some may be empty");
    check("[routing]\ncritical = [\"chat\"]\n", "`routing.critical` has chat");
}

#[test]
fn settings_around_trouble_that_cannot_work_are_refused() {
    let provider = |line: &str| with_file(&format!("[[providers]]\nname = \"a\"\nkind = \"sandbox\"\n{line}\n"));
    let check = |line: &str, part: &str| {
        let message = message(provider(line));
        assert!(message.contains(part), "{line}: {message}");
    };
    check("canary = 0.0", "`canary`");
    check("canary = 0.6", "`canary`");
    check("warm_up = { from = \"2027-01-31\", per_day = 0 }", "`warm_up.per_day`");
    check("warm_up = { from = \"2027-01-31\", per_day = 10, growth = 0.5 }", "`warm_up.growth`");
    check("late_receipts = { within = \"0s\", share = 0.5 }", "`late_receipts.within`");
    check("late_receipts = { within = \"1m\", share = 1.0 }", "`late_receipts.share`");
    let all = "canary = 0.05\nwarm_up = { from = \"2027-01-31\", per_day = 10 }\n\
               late_receipts = { within = \"1m\", share = 0.5 }";
    let loaded = provider(all).expect("valid");
    assert_eq!(loaded.config.providers[0].warm_up.map(|warm_up| warm_up.growth), Some(2.0));
}
