//! What is answered.

use super::*;

async fn bench() -> Bench {
    let mut bench = Bench::new();
    for offset in 0..6 {
        let plan = planned(offset, |plan| {
            plan.content = match offset {
                0 => Content::Inline { title: "".into(), body: "x".into(), html: None, sms: None },
                _ => Content::Template { code: format!("t{}", offset % 2).into() },
            };
            plan.presentation.variant = (offset > 3).then(|| "b".into());
            plan.tenant = if offset == 5 { "other".into() } else { "acme".into() };
        });
        let at = NOON + DAY * (offset as u32 / 2);
        bench.tell_of(plan, vec![happened(offset, EventKind::Sent, at)]).await;
    }
    bench.run(SECOND * 20).await;
    bench
}

fn lines(report: &Report) -> Vec<(Vec<String>, i64)> {
    let text = |value: &GroupValue| match value {
        GroupValue::None => "-".to_owned(),
        GroupValue::Hour(hour) => format!("+{}", hour - Cell::hour_of(NOON) / 24 * 24),
        GroupValue::Word(word) => word.to_string(),
    };
    let line = |line: &ReportLine| (line.values.iter().map(text).collect(), line.counts.get(Count::Sent));
    report.lines.iter().map(line).collect()
}

#[track_caller]
fn assert_lines(report: &Report, expected: &[(&str, i64)]) {
    let found: Vec<(String, i64)> = lines(report).into_iter().map(|(words, sent)| (words.join(" "), sent)).collect();
    let expected: Vec<(String, i64)> = expected.iter().map(|(words, sent)| ((*words).to_owned(), *sent)).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn lines_are_by_what_is_asked_for_and_of_the_tenant_alone() {
    let bench = bench().await;
    assert_lines(&bench.report(&[Group::Channel]).await, &[("email", 5)]);
    assert_lines(&bench.report(&[Group::Template]).await, &[("t0", 2), ("t1", 2), ("-", 1)]);
    assert_lines(&bench.report(&[Group::Day]).await, &[("+0", 2), ("+24", 2), ("+48", 1)]);
    assert_lines(
        &bench.report(&[Group::Day, Group::Provider]).await,
        &[("+0 mail-main", 2), ("+24 mail-main", 2), ("+48 mail-main", 1)],
    );
    assert_lines(&bench.report(&[Group::Variant]).await, &[("t1 -", 2), ("- -", 1), ("t0 -", 1), ("t0 b", 1)]);
}

#[tokio::test]
async fn filters_leave_the_rest_out_and_days_end_where_they_are_said_to() {
    let bench = bench().await;
    let day = Cell::hour_of(NOON) / 24;
    let query = |filters: Filters, first_day, last_day| ReportQuery {
        tenant: "acme".into(),
        first_day,
        last_day,
        groups: vec![Group::Channel],
        filters,
        lines_max: 1000,
    };
    let sent = async |query: ReportQuery| bench.analytics.report(&query).await.expect("read").totals.get(Count::Sent);
    let template = Filters { template: Some("t0".into()), ..Filters::default() };
    assert_eq!(sent(query(template.clone(), day, day + 9)).await, 2);
    assert_eq!(sent(query(template, day, day + 1)).await, 1);
    assert_eq!(sent(query(Filters { variant: Some("b".into()), ..Filters::default() }, day, day + 9)).await, 1);
    assert_eq!(sent(query(Filters { channel: Some(Channel::Sms), ..Filters::default() }, day, day + 9)).await, 0);
    assert_eq!(sent(query(Filters { locale: Some("xx".into()), ..Filters::default() }, day, day + 9)).await, 0);
    assert_eq!(sent(query(Filters::default(), day + 1, day + 1)).await, 2);
    assert_eq!(sent(query(Filters::default(), day + 3, day + 9)).await, 0);
    let cut = ReportQuery { lines_max: 1, groups: vec![Group::Day], ..query(Filters::default(), day, day + 9) };
    let report = bench.analytics.report(&cut).await.expect("read");
    assert!(report.is_cut && report.lines.len() == 1 && report.totals.get(Count::Sent) == 5);
}
