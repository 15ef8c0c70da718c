use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::intake::fakes::FakeStore;
use crate::store::KeyedRows;

/// What is read of a list that comes in parts of this size: of each row its line, and the member or what is wrong.
/// Each row with its line.
type Lines = Vec<(u64, Result<ListMember, String>)>;

fn read(body: &[u8], part: usize) -> Result<Lines, CsvError> {
    let (mut csv, mut rows) = (CsvMembers::default(), Vec::new());
    for part in body.chunks(part.max(1)) {
        csv.push(part, &mut rows)?;
    }
    csv.end(&mut rows)?;
    let said = |row: CsvRow| {
        let why = |problems: Vec<crate::intake::FieldProblem>| {
            problems.into_iter().map(|problem| format!("{} {}", problem.pointer, problem.detail)).collect()
        };
        (row.line, row.member.map_err(why))
    };
    Ok(rows.into_iter().map(said).collect())
}

fn user(id: &str, data: Option<&str>) -> ListMember {
    ListMember { user_id: Some(id.into()), data: data.map(Into::into), ..ListMember::default() }
}

#[test]
fn rows_are_read_with_quotes_marks_and_line_ends_of_every_kind() {
    let data = |note: &str| Some(serde_json::json!({ "note": note }).to_string());
    let expected = vec![
        (2, Ok(user("alice", data("a, b").as_deref()))),
        (3, Ok(user("bob", data("she said \"hi\"").as_deref()))),
        (4, Ok(user("carol", data("two\nlines").as_deref()))),
        (7, Ok(user("dave", data("").as_deref()))),
    ];
    let text = "user_id,note\nalice,\"a, b\"\nbob,\"she said \"\"hi\"\"\"\ncarol,\"two\nlines\"\n\n dave ,\n";
    for body in [text.to_owned(), format!("\u{feff}{text}"), text.trim_end().to_owned()] {
        for part in [1, 2, 3, 7, 1000] {
            assert_eq!(read(body.as_bytes(), part), Ok(expected.clone()), "{body:?} in parts of {part}");
        }
    }
    let lines = "user_id\r\nalice\r\nbob\r\n\r\ncarol";
    for part in [1, 2, 5, 1000] {
        let rows = read(lines.as_bytes(), part).expect("a list");
        let found: Vec<_> =
            rows.iter().map(|(line, row)| (*line, row.clone().ok().and_then(|row| row.user_id))).collect();
        assert_eq!(found, [(2, Some("alice".into())), (3, Some("bob".into())), (5, Some("carol".into()))], "{part}");
    }
}

#[test]
fn a_bad_row_is_told_by_its_line_and_the_next_is_read() {
    let long = format!("user_id,email\nx,\"{}\ny\"\nalice,\n", "x".repeat(100_000));
    let rows = read(long.as_bytes(), 4096).expect("a list");
    assert!(matches!(&rows[0], (2, Err(why)) if why.contains("too long")), "{rows:?}");
    assert_eq!(rows[1], (4, Ok(user("alice", None))));
    let body = b"user_id,email,phone\nalice,a@example.com\n,,\nbob,not-an-address,\n,,12\n\xff,,\n,a@example.com,\n";
    let rows = read(body, 10).expect("a list");
    let why = |index: usize| rows[index].1.as_ref().expect_err("refused").clone();
    assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
    assert!(why(0).contains("has 2 fields"), "{}", why(0));
    assert!(why(1).contains("says of nobody"), "{}", why(1));
    assert!(why(2).starts_with("/email"), "{}", why(2));
    assert!(why(3).starts_with("/phone"), "{}", why(3));
    assert!(why(4).contains("not UTF-8"), "{}", why(4));
    assert_eq!(rows[5].1.as_ref().map(|member| member.name()), Ok(Some("a@example.com")));
}

#[test]
fn a_header_that_names_nobody_or_something_twice_ends_the_list() {
    for (body, words) in [
        ("", "empty"),
        ("\n\n", "empty"),
        ("name,city\nalice,Berlin\n", "must name one of"),
        ("user_id,plan,plan\n", "twice"),
        ("user_id,,plan\n", "column 2"),
        (&format!("user_id{}\n", ",x".repeat(300)), "more than 256 columns"),
    ] {
        let error = read(body.as_bytes(), 3).expect_err(body);
        assert!(error.to_string().contains(words), "{body}: {error}");
    }
}

#[test]
fn a_line_is_checked_as_the_recipient_of_a_request_is() {
    let member = read_member(r#"{"email":"a@example.com","data":{"n":1}}"#).expect("a member");
    assert_eq!(member.name(), Some("a@example.com"));
    assert_eq!(member.data.as_deref(), Some(r#"{"n":1}"#));
    assert_eq!(ListMember::decode(&member.encode("acme")).expect("readable"), member);
    for (line, pointer) in [
        ("", ""),
        ("[]", ""),
        ("{}", ""),
        (r#"{"user_id":null}"#, ""),
        (r#"{"user_id":1}"#, "/user_id"),
        (r#"{"user_id":""}"#, "/user_id"),
        (r#"{"user_id":"a\nb"}"#, "/user_id"),
        (r#"{"email":"nobody"}"#, "/email"),
        (r#"{"phone":"030"}"#, "/phone"),
        (r#"{"url":"ftp://x"}"#, "/url"),
        (r#"{"user_id":"a","user_id":"b"}"#, "/user_id"),
        (r#"{"user_id":"a","data":[1]}"#, "/data"),
        (r#"{"user_id":"a","plan":"pro"}"#, "/plan"),
    ] {
        let problems = read_member(line).expect_err(line);
        assert!(problems.iter().any(|problem| problem.pointer == pointer), "{line}: {problems:?}");
    }
}

fn lists() -> Lists {
    Lists::new(Arc::new(FakeStore::default()), ManualClock::starting_at(Timestamp(0)))
}

fn saved(id: &str, members: u64) -> SavedList {
    SavedList { id: id.into(), name: Some("spring".into()), members, bytes: 9, created_at: Timestamp(7), body_hash: 3 }
}

#[tokio::test]
async fn a_list_exists_once_it_is_complete_and_whoever_is_there_twice_counts_once() {
    let lists = lists();
    let members: Vec<ListMember> = (0..2500).map(|number| user(&format!("u{number}"), None)).collect();
    lists.put("acme", "lst_a", &members).await.expect("written");
    lists.put("acme", "lst_a", &[user("u7", None), user("u7", Some("{}")), user("u8", None)]).await.expect("written");
    assert_eq!(lists.count("lst_a").await.expect("the store answers"), 2500);
    assert_eq!(lists.get("acme", "lst_a").await.expect("the store answers"), None);
    lists.complete("acme", &saved("lst_a", 2500)).await.expect("written");
    assert_eq!(lists.get("acme", "lst_a").await.expect("the store answers"), Some(saved("lst_a", 2500)));
    assert_eq!(lists.get("other", "lst_a").await.expect("the store answers"), None);
    lists.complete_of_campaign("acme", &saved("lst_c", 1)).await.expect("written");
    assert_eq!(lists.get("acme", "lst_c").await.expect("the store answers"), None);
    assert_eq!(lists.find("acme", "lst_c").await.expect("the store answers"), Some(saved("lst_c", 1)));
    assert_eq!(lists.list("acme", None, 10).await.expect("the store answers"), vec![saved("lst_a", 2500)]);
}

#[tokio::test]
async fn a_list_that_is_taken_away_is_gone_at_once_and_its_rows_step_by_step() {
    let lists = lists();
    let members: Vec<ListMember> = (0..300).map(|number| user(&format!("u{number}"), None)).collect();
    lists.put("acme", "lst_a", &members).await.expect("written");
    lists.complete("acme", &saved("lst_a", 300)).await.expect("written");
    assert_eq!(lists.remove("other", "lst_a", 100).await.expect("the store answers"), Removal::Unknown);
    assert_eq!(lists.remove("acme", "lst_a", 100).await.expect("the store answers"), Removal::Begun);
    assert_eq!(lists.get("acme", "lst_a").await.expect("the store answers"), None);
    assert_eq!(lists.count("lst_a").await.expect("the store answers"), 200);
    assert_eq!(lists.list("acme", None, 10).await.expect("the store answers"), Vec::new());
    assert_eq!(lists.remove("acme", "lst_a", 1000).await.expect("the store answers"), Removal::Done);
    assert_eq!(lists.count("lst_a").await.expect("the store answers"), 0);
    assert_eq!(lists.remove("acme", "lst_a", 1000).await.expect("the store answers"), Removal::Unknown);
}

proptest! {
    #[test]
    fn every_csv_is_read_the_same_in_any_parts(body in "[ab,\"\n\r]{0,60}", part in 1usize..20) {
        let body = format!("user_id,x\n{body}");
        prop_assert_eq!(read(body.as_bytes(), part), read(body.as_bytes(), 1000));
    }
}

#[tokio::test]
async fn addresses_of_members_stand_in_no_name_of_a_row_and_are_found_and_forgotten_all_the_same() {
    let store = Arc::new(FakeStore::default());
    let lists = Lists::new(store.clone(), ManualClock::starting_at(Timestamp(0)));
    let by_mail = |text: &str| ListMember {
        to: Recipient { email: Some(text.into()), ..Recipient::default() },
        ..ListMember::default()
    };
    lists.put("acme", "lst_a", &[by_mail("a@example.com"), user("alice", None)]).await.expect("written");
    // As rows were named before.
    let before = by_mail("old@example.com");
    let part = list_part("lst_a", list_spread("old@example.com"));
    let old = KeyedRow { part, name: (*b"old@example.com").into(), body: Some(before.encode("acme").into()) };
    store.put_keyed(vec![old]).await.expect("written");
    lists.complete("acme", &saved("lst_a", 3)).await.expect("written");
    for spread in 0..LIST_SPREADS {
        for (name, _) in store.keyed_between(&list_part("lst_a", spread), None, None, 10).await.expect("read") {
            assert_ne!(&*name, b"a@example.com");
        }
    }
    let names = ["alice", "a@example.com", "old@example.com"];
    let found = lists.having("acme", &names, 10).await.expect("read");
    assert_eq!(found.iter().map(|(_, name)| &**name).collect::<Vec<_>>(), names);
    assert_eq!(lists.having("other", &names, 10).await.expect("read"), []);
    assert_eq!(lists.forget("acme", &names, 10).await.expect("read"), 3);
    assert_eq!(lists.count("lst_a").await.expect("read"), 0);
}
