//! `/v1/analytics`: what was counted, as it is answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;

use super::world::World;
use crate::codec;
use crate::domain::{CampaignId, Channel, Count, Counts, Dimensions, Rollup};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, KeyedRows};

/// 2026-11-20, the day before the world's.
const DAY: u32 = 20_777;

fn counts(pairs: &[(Count, i64)]) -> Counts {
    let mut counts = Counts::default();
    pairs.iter().for_each(|(count, number)| counts.add(*count, *number));
    counts
}

fn of_template(template: &str, variant: Option<&str>) -> Dimensions {
    Dimensions {
        channel: Channel::Email,
        category: "marketing".into(),
        template: Some(template.into()),
        variant: variant.map(Into::into),
        locale: None,
        provider: Some("mail-main".into()),
        campaign: Some(CampaignId(7)),
    }
}

/// A roll-up of the tenant `default`, as the one who counts writes it.
async fn rolled(world: &World, day: u32, entries: BTreeMap<Dimensions, Counts>) {
    let part = KeyedPart::of(KeyedKind::RollupDay, &[b"default", b"2026-11"]);
    let body = Some(Bytes::from(codec::encode_rollup(&Rollup { through: 1, entries })));
    let row = KeyedRow { part, name: [&day.to_be_bytes()[..], &[0]].concat().into(), body };
    world.store.put_keyed(vec![row]).await.expect("written");
}

async fn with_counts() -> World {
    let world = World::new();
    let sent = [(Count::Sent, 10), (Count::Delivered, 8), (Count::Opened, 4), (Count::OpenedTotal, 6)];
    let first = of_template("=welcome", None);
    rolled(&world, DAY, BTreeMap::from([(first, counts(&[&sent[..], &[(Count::Cost, 1_500_000)]].concat()))])).await;
    let second = of_template("sale", Some("b"));
    rolled(&world, DAY + 1, BTreeMap::from([(second, counts(&[(Count::Sent, 20), (Count::Opened, 1)]))])).await;
    world
}

#[tokio::test]
async fn counts_come_by_what_is_asked_for_with_their_rates() {
    let world = with_counts().await;
    let answer = world.get("/v1/analytics?start_date=2026-11-20&end_date=2026-11-20").await.json();
    let line = &answer["data"][0];
    assert_eq!(line["channel"], "email");
    assert_eq!((&line["sent"], &line["opened_total"], &line["cost"]), (&json!(10), &json!(6), &json!(1.5)));
    assert_eq!((&line["rates"]["open_rate"], &line["rates"]["click_to_open_rate"]), (&json!(0.4), &json!(0.0)));
    assert_eq!((&answer["group_by"], &answer["as_of"]), (&json!("channel"), &json!(null)));
    assert_eq!(answer["totals"]["delivered"], 8);

    // The last 30 days, where nothing is said.
    let answer = world.get("/v1/analytics?group_by=day").await.json();
    assert_eq!((&answer["start_date"], &answer["end_date"]), (&json!("2026-10-23"), &json!("2026-11-21")));
    let days: Vec<_> = answer["data"].as_array().expect("lines").iter().map(|line| line["day"].clone()).collect();
    assert_eq!(days, [json!("2026-11-20"), json!("2026-11-21")]);
    let answer = world.get("/v1/analytics?group_by=variant,day&template=sale").await.json();
    let line = &answer["data"][0];
    assert_eq!(
        (&line["template"], &line["variant"], &line["day"]),
        (&json!("sale"), &json!("b"), &json!("2026-11-21"))
    );
    assert_eq!(answer["totals"]["sent"], 20);

    // Another tenant has none of it.
    let other = world.send("GET", "/v1/analytics", "other", "").await.json();
    assert_eq!((&other["data"], &other["totals"]["sent"]), (&json!([]), &json!(0)));
    assert_eq!(other["totals"]["rates"]["open_rate"], json!(null));
    world.send("GET", "/v1/analytics", "sender", "").await.assert_problem(403);
}

#[tokio::test]
async fn the_same_comes_as_csv_without_formulas() {
    let world = with_counts().await;
    let answer = world.get("/v1/analytics?group_by=template,campaign&format=csv").await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = answer.text.lines().collect();
    assert!(lines[0].starts_with("template,campaign,sent,delivered,opened,opened_total,"), "{}", lines[0]);
    assert!(lines[0].ends_with(",cost,delivery_rate,open_rate,click_rate,click_to_open_rate,bounce_rate,complaint_rate,unsubscribe_rate,conversion_rate"));
    assert!(lines[1].starts_with("sale,cmp_") && lines[2].starts_with("\"'=welcome\",cmp_"), "{}", answer.text);
    assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
}

#[tokio::test]
async fn nonsense_is_refused_with_what_is_wrong() {
    let world = World::new();
    for (query, expected) in [
        ("start_date=2026-11-22&end_date=2026-11-20", "is before"),
        ("start_date=yesterday", "`start_date` must be a date"),
        ("end_date=2026-02-30", "`end_date` must be a date"),
        ("end_date=2026-11-20T00:00:00Z", "must be a date"),
        ("start_date=9999-01-01", "more than a year ahead"),
        ("start_date=1950-01-01", "must be a date"),
        ("start_date=2024-01-01", "more than 400 days"),
        ("group_by=moon", "must be of day, hour, channel"),
        ("group_by=day,channel,template", "at most 2"),
        ("group_by=channel,channel", "twice"),
        ("group_by=day,hour", "not both"),
        ("group_by=hour&start_date=2026-01-01", "at most 31 days"),
        ("channel=pigeon", "must be one of email"),
        ("campaign=spring", "the id of a campaign"),
        ("template=", "1 to 256 bytes"),
        ("format=xml", "`json` or `csv`"),
        ("group=channel", "unknown field"),
    ] {
        let problem = world.get(&format!("/v1/analytics?{query}")).await.assert_problem(400);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(expected)), "{query}: {problem}");
    }
    for query in ["", "template=welcome&metric=sent", "template=welcome&start_date=x"] {
        world.get(&format!("/v1/analytics/experiments?{query}")).await.assert_problem(400);
    }
}

#[tokio::test]
async fn variants_are_compared_with_the_one_without_a_change() {
    let world = World::new();
    let of = |sent, clicked| counts(&[(Count::Sent, sent), (Count::Clicked, clicked)]);
    let entries = BTreeMap::from([
        (of_template("sale", Some("b")), of(10_000, 1200)),
        (of_template("sale", Some("control")), of(10_000, 1000)),
        (of_template("sale", None), of(500, 400)),
        (of_template("other", Some("c")), of(1, 1)),
    ]);
    rolled(&world, DAY, entries).await;
    let answer = world.get("/v1/analytics/experiments?template=sale&metric=clicked").await.json();
    let names: Vec<_> =
        answer["variants"].as_array().expect("variants").iter().map(|one| one["variant"].clone()).collect();
    assert_eq!(names, [json!("control"), json!("b")]);
    let control = &answer["variants"][0];
    assert_eq!((&control["n"], &control["successes"], &control["rate"]), (&json!(10_000), &json!(1000), &json!(0.1)));
    assert!(control["interval"]["low"].as_f64().is_some_and(|low| (0.09..0.1).contains(&low)), "{control}");
    let compared = &answer["comparisons"][0];
    assert_eq!((&compared["against"], &compared["differs"]), (&json!("control"), &json!(true)));
    assert!(compared["statement"].as_str().is_some_and(|said| said.starts_with("b is better: 12.0 %")), "{compared}");
    let none = world.get("/v1/analytics/experiments?template=unknown").await.json();
    assert_eq!((&none["variants"], &none["comparisons"]), (&json!([]), &json!([])));
}
