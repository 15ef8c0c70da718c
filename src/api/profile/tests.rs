use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::defaults;
use crate::domain::{Categories, Timestamp, User};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn check_phone(text: &str, expected: Option<&str>) {
    assert_eq!(phone(text).ok().as_deref(), expected, "{text}");
}

#[test]
fn a_telephone_number_is_kept_as_e_164_writes_it() {
    check_phone("+4930123456", Some("+4930123456"));
    check_phone("+49 30 123456", Some("+4930123456"));
    check_phone("+1 (415) 555-2671", Some("+14155552671"));
    check_phone("0049.30.123456", Some("+4930123456"));
    check_phone("+49/30/123456", Some("+4930123456"));
    for text in [
        "",
        "030 123456",
        "+49 (0)30 123456",
        "+0301234567",
        "+49",
        "+49301234567890123",
        "+49 30 CALL ME",
        "++4930123456",
    ] {
        check_phone(text, None);
    }
    check_phone(&" ".repeat(100), None);
}

/// Fields of a line, most of them right.
const FIELDS: &[(&str, &str)] = &[
    ("email", "null"),
    ("email", "\"a@example.com\""),
    ("email", "\"B@example.com\""),
    ("email", "1"),
    ("phone", "\"+49 30 123456\""),
    ("phone", "\"\\ud800\""),
    ("locale", "\"de_DE\""),
    ("timezone", "\"utc\""),
    ("attributes", "null"),
    ("attributes", r#"{"a":1,"b":{"c":null,"d":[1.0]}}"#),
    ("attributes", r#"{"a":null,"b":{"d":{"e":1}}}"#),
    ("attributes", r#"{"a":1e999}"#),
    ("devices", "[]"),
    ("devices", r#"[{"id":"d","platform":"android","token":"0123456789abcdef0123456789abcdef0"}]"#),
    ("preferences", r#"[{"category":"social","channel":"push","enabled":true}]"#),
    ("preferences", r#"[{"category":"social","channel":"push","enabled":null}]"#),
    ("preferences", r#"[{"category":"x"}]"#),
    ("quiet_hours", r#"{"from":"22:00","to":"08:00"}"#),
    ("quiet_hours", "\"never\""),
    ("quiet_hours", "null"),
    ("digest_hour", "7"),
    ("digest_hour", "null"),
    ("preferred_channel", "\"push\""),
    ("other", "1"),
];

fn categories() -> Categories {
    defaults().categories().expect("the default is there")
}

fn any_line() -> impl Strategy<Value = String> {
    let fields = prop::collection::vec(prop::sample::select(FIELDS), 0..6);
    fields.prop_map(|fields| {
        let fields: BTreeMap<&str, &str> = fields.into_iter().collect();
        let fields: String = fields.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        format!("{{\"id\":\"u\"{fields}}}")
    })
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_with_a_reason(text in ".{0,80}") {
        if let Err(problems) = ImportLine::read(&text, &categories(), NOW) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn what_was_said_once_changes_nothing_when_it_is_said_again(line in any_line(), before in any_line()) {
        let mut user = User::default();
        for text in [&before, &line] {
            let Ok(ImportLine::User(said)) = ImportLine::read(text, &categories(), NOW) else { continue };
            let Ok(entries) = said.entries(&user, NOW) else { continue };
            entries.into_iter().for_each(|entry| user.apply(entry));
            prop_assert_eq!(said.entries(&user, NOW), Ok(Vec::new()));
        }
    }
}
