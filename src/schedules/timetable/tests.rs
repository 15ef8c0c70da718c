use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn table(cron: &str, zone: &str) -> Timetable {
    Timetable::read(cron, zone, at("2026-01-01T00:00:00Z")).unwrap_or_else(|problems| panic!("{cron}: {problems:?}"))
}

#[track_caller]
fn check_next(cron: &str, zone: &str, from: &str, expected: &[&str]) {
    let times: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
    assert_eq!(table(cron, zone).upcoming(at(from), times.len()), times, "{cron} in {zone} from {from}");
}

#[test]
fn the_next_times_are_those_of_the_zone() {
    check_next("0 9 * * *", "Europe/Berlin", "2026-01-10T08:00:00Z", &["2026-01-11T08:00:00Z", "2026-01-12T08:00:00Z"]);
    check_next("0 9 * * *", "Europe/Berlin", "2026-01-10T07:59:59.999Z", &["2026-01-10T08:00:00Z"]);
    check_next("*/15 * * * *", "UTC", "2026-01-10T08:00:00.5Z", &["2026-01-10T08:15:00Z", "2026-01-10T08:30:00Z"]);
    check_next("0 9 * * MON-FRI", "UTC", "2026-01-09T09:00:00Z", &["2026-01-12T09:00:00Z"]);
    check_next("@daily", "Asia/Tokyo", "2026-01-09T09:00:00Z", &["2026-01-09T15:00:00Z"]);
    check_next("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", &["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
    check_next("0 0 29 2 *", "UTC", "2026-02-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
}

#[test]
fn a_time_of_day_runs_once_on_the_days_on_which_clocks_change() {
    // Left out on the 29th of March 2026, when clocks go from 02:00 to 03:00: it runs at the change.
    check_next(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-27T12:00:00Z",
        &["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    );
    // Twice on the 25th of October, when clocks go from 03:00 to 02:00: it runs the first time.
    check_next(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-23T12:00:00Z",
        &["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    check_next(
        "0 9 * * *",
        "Europe/Berlin",
        "2026-03-28T07:00:00Z",
        &["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"],
    );
    check_next(
        "0 9 * * *",
        "Europe/Berlin",
        "2026-10-24T06:00:00Z",
        &["2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z", "2026-10-26T08:00:00Z"],
    );
}

#[test]
fn what_runs_every_half_hour_goes_on_by_the_instants() {
    check_next(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:30:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z"],
    );
    check_next(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-25T00:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"],
    );
}

#[track_caller]
fn check_refused(cron: &str, zone: &str, pointer: &str, words: &str) {
    let problems = Timetable::read(cron, zone, at("2026-01-01T00:00:00Z")).expect_err("refused");
    assert!(problems.iter().any(|one| one.pointer == pointer && one.detail.contains(words)), "{cron}: {problems:?}");
}

#[test]
fn what_never_fires_or_is_no_cron_expression_is_refused_with_the_reason() {
    check_refused("0 0 30 2 *", "UTC", "/cron", "never fires");
    check_refused("0 0 31 4,6,9,11 *", "UTC", "/cron", "never fires");
    check_refused("0 0 * * * *", "UTC", "/cron", "seconds are not taken");
    check_refused("0 9 * *", "UTC", "/cron", "has 4");
    check_refused("", "UTC", "/cron", "has 0");
    check_refused("60 9 * * *", "UTC", "/cron", "is no cron expression");
    check_refused("0 9 * * MO", "UTC", "/cron", "is no cron expression");
    check_refused("@never", "UTC", "/cron", "is no cron expression");
    check_refused("0 9 * * ü", "UTC", "/cron", "ASCII");
    check_refused("0 9 * * *", "Mars/Olympus", "/timezone", "Mars/Olympus");
    check_refused("0 9 * * * 2026 1", "Mars/Olympus", "/timezone", "no time zone");
}

#[test]
fn what_is_due_is_the_latest_and_says_how_many_were_before() {
    let daily = table("0 9 * * *", "UTC");
    let day = |text: &str| at(&format!("2026-01-{text}Z"));
    assert_eq!(daily.due(day("10T09:00:00"), day("11T08:59:59")), None);
    assert_eq!(daily.due(day("10T09:00:00"), day("11T09:00:00")), Some(Due { at: day("11T09:00:00"), before: 0 }));
    assert_eq!(daily.due(day("10T09:00:00"), day("13T12:00:00")), Some(Due { at: day("13T09:00:00"), before: 2 }));
    assert_eq!(daily.due(day("13T09:00:00"), day("10T09:00:00")), None, "the clock was set back");
    let minutely = table("* * * * *", "UTC");
    let years_later = minutely.due(day("01T00:00:00"), at("2029-01-01T00:00:30Z")).expect("due");
    assert_eq!(years_later, Due { at: at("2029-01-01T00:00:00Z"), before: COUNTED_MAX });
}

#[test]
fn a_day_is_that_of_the_zone() {
    let tokyo = table("0 9 * * *", "Asia/Tokyo");
    assert_eq!(tokyo.day(at("2026-11-22T15:00:00Z"), 7), Some((20_787, "2026-11-30".to_owned())));
    assert_eq!(tokyo.day(at("1970-01-01T00:00:00Z"), -1), Some((-1, "1969-12-31".to_owned())));
    assert_eq!(tokyo.shown(at("2026-11-22T15:00:00Z")), "2026-11-23T00:00:00+09:00");
    assert_eq!(table("@daily", "UTC").shown(at("2026-11-22T15:00:00Z")), "2026-11-22T15:00:00+00:00");
}

/// One field of an expression, between its bounds.
fn field(from: u8, to: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => (from..=to).prop_map(|number| number.to_string()),
        1 => (from..=to, from..=to).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (2u8..30).prop_map(|step| format!("*/{step}")),
        1 => prop::collection::btree_set(from..=to, 1..4)
            .prop_map(|numbers| numbers.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    ]
}

proptest! {
    #[test]
    fn the_next_times_of_any_expression_are_ahead_and_grow(
        fields in (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)),
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu", "UTC"]),
        millis in 1_700_000_000_000u64..1_900_000_000_000,
    ) {
        let cron = format!("{} {} {} {} {}", fields.0, fields.1, fields.2, fields.3, fields.4);
        let now = Timestamp(millis);
        let table = Timetable::read(&cron, zone, now).map_err(|problems| TestCaseError::fail(format!("{cron}: {problems:?}")))?;
        let times = table.upcoming(now, 50);
        prop_assert_eq!(times.len(), 50, "{}", cron);
        prop_assert!(times[0] > now, "{cron}: {} after {now}", times[0]);
        prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{cron}: {times:?}");
        // Whoever asks from between two of them is told the same.
        let between = Timestamp((times[3].millis() + times[4].millis()) / 2);
        prop_assert_eq!(table.next(between), Some(times[4]), "{} between", cron);
        let due = table.due(now, times[9]);
        prop_assert_eq!(due, Some(Due { at: times[9], before: 9 }));
    }
}
