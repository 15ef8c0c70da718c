use proptest::prelude::*;

use super::*;
use crate::config::ShippedCategories;
use crate::domain::{Timestamp, User};

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

/// Values that a body may have for a field, right and wrong.
fn any_value() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "null",
        "1",
        "true",
        "[]",
        "{}",
        "\"\"",
        "\"x\"",
        "\"a@example.com\"",
        "\"+4930123456\"",
        "\"de-DE\"",
        "\"UTC\"",
        r#"{"a":1,"b":{"c":null}}"#,
        r#"{"from":"22:00","to":"08:00"}"#,
        "\"never\"",
        "7",
        "\"push\"",
        r#"[{"category":"social","channel":"push","enabled":true}]"#,
        r#"[{"category":"x"}]"#,
        "[null]",
        r#"[{"id":"d","platform":"android","token":"0123456789abcdef0123456789abcdef0"}]"#,
        "\"\\ud800\"",
        "1e999",
    ])
    .prop_map(str::to_owned)
}

fn any_line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "email",
        "phone",
        "locale",
        "timezone",
        "attributes",
        "devices",
        "preferences",
        "quiet_hours",
        "digest_hour",
        "preferred_channel",
        "other",
    ]);
    prop::collection::btree_map(name, any_value(), 0..6).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{\"id\":\"u\"{}}}", fields.iter().map(|field| format!(",{field}")).collect::<String>())
    })
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_with_a_reason(text in ".{0,80}") {
        if let Err(problems) = UserLine::read(&text, &ShippedCategories) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn what_was_said_once_changes_nothing_when_it_is_said_again(line in any_line(), before in any_line()) {
        let mut user = User::default();
        for text in [&before, &line] {
            let Ok(said) = UserLine::read(text, &ShippedCategories) else { continue };
            let entries = said.entries(&user, NOW).expect("it is small");
            entries.into_iter().for_each(|entry| user.apply(entry));
            prop_assert_eq!(said.entries(&user, NOW), Ok(Vec::new()));
        }
    }
}
