//! `/v1/analytics`: what was counted, by what is asked for, as JSON or CSV; and whether the variants of a template differ.

mod csv;
mod days;
mod experiments;
mod rates;

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{json as json_answer, query};
use crate::api::auth::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Cell, Channel, Count, Counts, Timestamp};
use crate::insight::{Filters, Group, GroupValue, Report, ReportLine, ReportQuery};

pub(in crate::api) use experiments::experiments;

/// The most groupings of one answer.
const GROUPS_MAX: usize = 2;
/// The most lines of one answer: some ten megabytes.
const LINES_MAX: usize = 20_000;
/// The most days of an answer by hours.
const HOURLY_DAYS_MAX: u32 = 31;
/// The longest name that is asked for.
const NAME_BYTES_MAX: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ReportParameters {
    start_date: Option<String>,
    end_date: Option<String>,
    group_by: Option<String>,
    channel: Option<String>,
    category: Option<String>,
    template: Option<String>,
    variant: Option<String>,
    locale: Option<String>,
    provider: Option<String>,
    campaign: Option<String>,
    format: Option<String>,
}

/// `GET /v1/analytics`.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    parameters: Result<Query<ReportParameters>, QueryRejection>,
) -> Answer {
    let parameters = query(parameters)?;
    let is_csv = wants_csv(&parameters, &headers)?;
    let now = api.parts.clock.now();
    let (first_day, last_day) = days::range(parameters.start_date.as_deref(), parameters.end_date.as_deref(), now)?;
    let groups = groups(parameters.group_by.as_deref())?;
    if groups.contains(&Group::Hour) && last_day - first_day >= HOURLY_DAYS_MAX {
        return Err(bad(format!("`group_by=hour` takes at most {HOURLY_DAYS_MAX} days: ask for fewer, or by day")));
    }
    let asked = ReportQuery {
        tenant: (*caller.tenant).into(),
        first_day,
        last_day,
        groups,
        filters: filters(&parameters)?,
        lines_max: LINES_MAX,
    };
    let report = api.analytics.report(&asked).await?;
    if report.is_cut {
        return Err(bad(format!("the answer would have more than {LINES_MAX} lines: ask for fewer days, or filter")));
    }
    if is_csv { Ok(csv::answer(&asked, &report)) } else { json_answer(&view(&asked, &report)) }
}

fn wants_csv(parameters: &ReportParameters, headers: &HeaderMap) -> Result<bool, Problem> {
    match parameters.format.as_deref() {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(bad("`format` must be `json` or `csv`".to_owned())),
        None => {
            let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            Ok(accepted.split(',').any(|kind| kind.trim().split(';').next() == Some("text/csv")))
        }
    }
}

fn groups(text: Option<&str>) -> Result<Vec<Group>, Problem> {
    let mut groups: Vec<Group> = Vec::new();
    for name in text.unwrap_or(Group::Channel.name()).split(',').map(str::trim) {
        let Some(group) = Group::parse(name) else {
            let names: Vec<&str> = Group::ALL.into_iter().map(Group::name).collect();
            return Err(bad(format!("`group_by` must be of {}, one or two with a comma", names.join(", "))));
        };
        if groups.contains(&group) {
            return Err(bad(format!("`group_by` names {name} twice")));
        }
        groups.push(group);
    }
    if groups.contains(&Group::Day) && groups.contains(&Group::Hour) {
        return Err(bad("`group_by` is by day or by hour, not both".to_owned()));
    }
    if groups.len() > GROUPS_MAX {
        return Err(bad(format!("`group_by` takes at most {GROUPS_MAX} groupings")));
    }
    Ok(groups)
}

fn filters(parameters: &ReportParameters) -> Result<Filters, Problem> {
    let word = |name: &str, text: &Option<String>| match text.as_deref() {
        Some(text) if text.is_empty() || text.len() > NAME_BYTES_MAX => {
            Err(bad(format!("`{name}` must have 1 to {NAME_BYTES_MAX} bytes")))
        }
        text => Ok(text.map(Box::from)),
    };
    let channel = parameters.channel.as_deref().map(|name| {
        let names: Vec<&str> = Channel::ALL.into_iter().map(Channel::name).collect();
        Channel::parse(name).ok_or_else(|| bad(format!("`channel` must be one of {}", names.join(", "))))
    });
    let campaign = parameters.campaign.as_deref().map(|id| {
        id.parse().map_err(|_| bad("`campaign` must be the id of a campaign: `cmp_` and what follows".to_owned()))
    });
    Ok(Filters {
        channel: channel.transpose()?,
        category: word("category", &parameters.category)?,
        template: word("template", &parameters.template)?,
        variant: word("variant", &parameters.variant)?,
        locale: word("locale", &parameters.locale)?,
        provider: word("provider", &parameters.provider)?,
        campaign: campaign.transpose()?,
    })
}

fn bad(detail: String) -> Problem {
    Problem::new(Kind::BadRequest, detail)
}

/// A value as it is shown; of a day its date, of an hour its first moment.
fn shown(group: &str, value: &GroupValue) -> Option<String> {
    match value {
        GroupValue::None => None,
        GroupValue::Word(word) => Some((**word).to_owned()),
        GroupValue::Hour(hour) => {
            let time = Cell::start_of(*hour).to_string();
            Some(if group == Group::Day.name() { time.chars().take(10).collect() } else { time })
        }
    }
}

fn view(asked: &ReportQuery, report: &Report) -> Value {
    let columns = asked.columns();
    let line = |line: &ReportLine| {
        let values = columns.iter().zip(&line.values);
        let keys =
            values.map(|(name, value)| ((*name).to_owned(), shown(name, value).map_or(Value::Null, Value::from)));
        let mut fields: Map<String, Value> = keys.collect();
        add_counts(&mut fields, &line.counts);
        Value::Object(fields)
    };
    let mut totals = Map::new();
    add_counts(&mut totals, &report.totals);
    json!({
        "start_date": days::text(asked.first_day),
        "end_date": days::text(asked.last_day),
        "group_by": asked.groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(","),
        "data": report.lines.iter().map(line).collect::<Vec<_>>(),
        "totals": totals,
        "as_of": report.as_of.map(|at: Timestamp| at.to_string()),
    })
}

fn add_counts(fields: &mut Map<String, Value>, counts: &Counts) {
    for count in Count::ALL {
        let value = match count {
            Count::Cost => json!(cost(counts)),
            count => json!(counts.get(count)),
        };
        fields.insert(count.name().to_owned(), value);
    }
    let rates = rates::of(counts).into_iter().map(|(name, rate)| (name.to_owned(), json!(rate)));
    fields.insert("rates".to_owned(), Value::Object(rates.collect()));
}

/// In the unit in which `cost` is configured.
fn cost(counts: &Counts) -> f64 {
    counts.get(Count::Cost) as f64 / 1e6
}
