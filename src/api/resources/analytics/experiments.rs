//! `GET /v1/analytics/experiments`: whether the variants of a template differ.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::{LINES_MAX, bad, days};
use crate::api::auth::Caller;
use crate::api::resources::answer::{json, query};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{CONTROL_VARIANT, Count};
use crate::insight::{Arm, Comparison, Filters, Group, GroupValue, Interval, ReportLine, ReportQuery, compare};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExperimentParameters {
    template: Option<String>,
    start_date: Option<String>,
    end_date: Option<String>,
    metric: Option<String>,
}

#[derive(Debug, Serialize)]
struct IntervalView {
    low: f64,
    high: f64,
}

#[derive(Debug, Serialize)]
struct ArmView {
    variant: Box<str>,
    n: u64,
    successes: u64,
    /// Null: nobody got it.
    rate: Option<f64>,
    interval: Option<IntervalView>,
}

#[derive(Debug, Serialize)]
struct ComparisonView {
    variant: Box<str>,
    against: Box<str>,
    difference: f64,
    interval: IntervalView,
    p_value: Option<f64>,
    differs: bool,
    statement: String,
}

#[derive(Debug, Serialize)]
struct ExperimentView {
    template: String,
    start_date: String,
    end_date: String,
    metric: &'static str,
    variants: Vec<ArmView>,
    comparisons: Vec<ComparisonView>,
    as_of: Option<String>,
}

impl From<Interval> for IntervalView {
    fn from(interval: Interval) -> Self {
        Self { low: rounded(interval.low), high: rounded(interval.high) }
    }
}

/// To six digits: more would be noise.
fn rounded(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

impl From<Comparison> for ComparisonView {
    fn from(comparison: Comparison) -> Self {
        let Comparison { name, against, difference, interval, p, differs, statement } = comparison;
        Self {
            variant: name,
            against,
            difference: rounded(difference),
            interval: interval.into(),
            p_value: p.map(rounded),
            differs,
            statement,
        }
    }
}

pub(in crate::api) async fn experiments(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ExperimentParameters>, QueryRejection>,
) -> Answer {
    let ExperimentParameters { template, start_date, end_date, metric } = query(parameters)?;
    let template =
        template.filter(|code| !code.is_empty()).ok_or_else(|| bad("`template` must be given".to_owned()))?;
    let metric = match metric.as_deref() {
        None | Some("opened") => Count::Opened,
        Some("clicked") => Count::Clicked,
        Some("converted") => Count::Converted,
        Some(_) => return Err(bad("`metric` must be one of opened, clicked, converted".to_owned())),
    };
    let (first_day, last_day) = days::range(start_date.as_deref(), end_date.as_deref(), api.parts.clock.now())?;
    let asked = ReportQuery {
        tenant: (*caller.tenant).into(),
        first_day,
        last_day,
        groups: vec![Group::Template, Group::Variant],
        filters: Filters { template: Some((*template).into()), ..Filters::default() },
        lines_max: LINES_MAX,
    };
    let report = api.analytics.report(&asked).await?;
    let mut arms: Vec<Arm> = report.lines.iter().filter_map(|line| arm(line, metric)).collect();
    // What is there without an experiment is what the others are compared with.
    arms.sort_by(|a, b| {
        let is_not_control = |arm: &Arm| *arm.name != *CONTROL_VARIANT;
        (is_not_control(a), &a.name).cmp(&(is_not_control(b), &b.name))
    });
    let judged = compare(arms);
    let variants = judged.arms.into_iter().map(|(arm, rate)| ArmView {
        variant: arm.name,
        n: arm.sent,
        successes: arm.successes,
        rate: rate.map(|(rate, _)| rounded(rate)),
        interval: rate.map(|(_, interval)| interval.into()),
    });
    json(&ExperimentView {
        template,
        start_date: days::text(first_day),
        end_date: days::text(last_day),
        metric: metric.name(),
        variants: variants.collect(),
        comparisons: judged.comparisons.into_iter().map(ComparisonView::from).collect(),
        as_of: report.as_of.map(|at| at.to_string()),
    })
}

/// A line's variant; `None`: it was in no experiment.
fn arm(line: &ReportLine, metric: Count) -> Option<Arm> {
    let Some(GroupValue::Word(name)) = line.values.get(1) else { return None };
    let get = |count| u64::try_from(line.counts.get(count)).unwrap_or(0);
    let sent = get(Count::Sent);
    // Opens of what was sent before the first day are none of these.
    Some(Arm { name: name.clone(), sent, successes: get(metric).min(sent) })
}
