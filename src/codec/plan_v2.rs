//! Version 2 of plans, frozen: as version 1, with decisions and reasons as numbers (those of the domain, which never change),
//! so that a new step or reason needs no new version. A number that this binary does not know is damage to it.

use bincode::{Decode, Encode};

use super::CodecError;
use super::v1::{
    ContentIn, ContentOut, Place, TaskIn, Text, channel, damaged, place, position, routing, routing_number, source,
};
use crate::domain::{
    self, Address, ClaimKey, Content, Decision, Disposition, NotificationId, PlanClaim, Position, SkipReason, Step,
    TaskSpec, Timestamp, Verdict,
};

/// A reason's number, and the notification that it speaks of.
type Reason = (u8, Option<Place>);

const DUPLICATE: u8 = 0;
/// No reason to skip it, but the word for what was merged, in verdicts and dispositions.
const MERGED: u8 = 200;

/// Those without more than their number.
fn plain_reason(number: u8) -> Option<SkipReason> {
    Some(match number {
        1 => SkipReason::Expired,
        2 => SkipReason::Cancelled,
        3 => SkipReason::NoAddress,
        4 => SkipReason::NoProvider,
        5 => SkipReason::DeliveredElsewhere,
        6 => SkipReason::NoConsent,
        7 => SkipReason::Suppressed,
        8 => SkipReason::Fatigue,
        9 => SkipReason::DailyCap,
        10 => SkipReason::Erased,
        11 => SkipReason::Budget,
        12 => SkipReason::HeldBack,
        _ => return None,
    })
}

fn reason(reason: &SkipReason) -> Reason {
    match reason {
        SkipReason::Duplicate { of } => (DUPLICATE, Some(place(of.0))),
        SkipReason::Expired => (1, None),
        SkipReason::Cancelled => (2, None),
        SkipReason::NoAddress => (3, None),
        SkipReason::NoProvider => (4, None),
        SkipReason::DeliveredElsewhere => (5, None),
        SkipReason::NoConsent => (6, None),
        SkipReason::Suppressed => (7, None),
        SkipReason::Fatigue => (8, None),
        SkipReason::DailyCap => (9, None),
        SkipReason::Erased => (10, None),
        SkipReason::Budget => (11, None),
        SkipReason::HeldBack => (12, None),
    }
}

fn reason_in((number, of): Reason) -> Result<SkipReason, CodecError> {
    match (number, of) {
        (DUPLICATE, Some(of)) => Ok(SkipReason::Duplicate { of: NotificationId(position(of)?) }),
        (number, _) => plain_reason(number).ok_or_else(|| damaged("reason")),
    }
}

#[derive(Encode, Decode)]
enum VerdictRow {
    Pass,
    Skip(Reason),
    Hold(u64),
}

/// Step, channel, verdict.
type DecisionRow = (u8, Option<u8>, VerdictRow);

fn decision(decision: &Decision) -> DecisionRow {
    let verdict = match &decision.verdict {
        Verdict::Pass => VerdictRow::Pass,
        Verdict::Skip(why) => VerdictRow::Skip(reason(why)),
        Verdict::Hold { until } => VerdictRow::Hold(until.millis()),
        Verdict::Merge { into } => VerdictRow::Skip((MERGED, Some(place(into.0)))),
    };
    (decision.step as u8, decision.channel.map(|channel| channel.index() as u8), verdict)
}

fn decision_in((step, number, verdict): DecisionRow) -> Result<Decision, CodecError> {
    let verdict = match verdict {
        VerdictRow::Pass => Verdict::Pass,
        VerdictRow::Skip((MERGED, Some(into))) => Verdict::Merge { into: NotificationId(position(into)?) },
        VerdictRow::Skip(reason) => Verdict::Skip(reason_in(reason)?),
        VerdictRow::Hold(until) => Verdict::Hold { until: Timestamp(until) },
    };
    let step = Step::from_index(usize::from(step)).ok_or_else(|| damaged("step"))?;
    Ok(Decision { step, channel: number.map(channel).transpose()?, verdict })
}

#[derive(Encode)]
enum AddressOut<'a> {
    Email(&'a str),
    Phone(&'a str),
    PushToken(&'a str),
    Url(&'a str),
    User(&'a str),
    Provider,
    // Added later, behind the others: what was written before reads as it did.
    Device(u8, &'a str),
    Chat(&'a str),
}

impl AddressOut<'_> {
    /// As [`Address::blank`].
    fn clear(&mut self) {
        match self {
            Self::Email(text)
            | Self::Phone(text)
            | Self::PushToken(text)
            | Self::Url(text)
            | Self::Device(_, text)
            | Self::Chat(text) => *text = "",
            Self::User(_) | Self::Provider => {}
        }
    }
}

impl<'a> From<&'a Address> for AddressOut<'a> {
    fn from(address: &'a Address) -> Self {
        match address {
            Address::Email(text) => Self::Email(text),
            Address::Phone(text) => Self::Phone(text),
            Address::PushToken(text) => Self::PushToken(text),
            Address::Url(text) => Self::Url(text),
            Address::User(text) => Self::User(text),
            Address::Provider => Self::Provider,
            Address::Device(platform, token) => Self::Device(*platform as u8, token),
            Address::Chat(text) => Self::Chat(text),
        }
    }
}

#[derive(Encode)]
struct TaskOut<'a> {
    channel: u8,
    address: AddressOut<'a>,
    due: Option<u64>,
    endpoint: u32,
}

impl<'a> From<&'a TaskSpec> for TaskOut<'a> {
    fn from(task: &'a TaskSpec) -> Self {
        Self {
            channel: task.channel.index() as u8,
            address: (&task.address).into(),
            due: task.due.map(Timestamp::millis),
            endpoint: task.endpoint,
        }
    }
}

#[derive(Encode)]
enum DispositionOut<'a> {
    Tasks(Vec<TaskOut<'a>>),
    Skipped(Reason),
}

#[derive(Decode)]
enum DispositionIn {
    Tasks(Vec<TaskIn>),
    Skipped(Reason),
}

#[derive(Encode)]
pub(super) struct PlanOut<'a> {
    tenant: &'a str,
    user_id: Option<&'a str>,
    category: Option<&'a str>,
    source: u8,
    routing: u8,
    accepted_at: u64,
    expires_at: Option<u64>,
    content: ContentOut<'a>,
    data: &'a str,
    metadata: &'a str,
    decisions: Vec<DecisionRow>,
    disposition: DispositionOut<'a>,
    /// Key, expiry, hash of the body.
    claims: Vec<(u128, u64, u64)>,
}

impl<'a> From<&'a domain::Plan> for PlanOut<'a> {
    fn from(plan: &'a domain::Plan) -> Self {
        let disposition = match &plan.disposition {
            Disposition::Skipped(why) => DispositionOut::Skipped(reason(why)),
            Disposition::Merged { into } => DispositionOut::Skipped((MERGED, Some(place(*into)))),
            Disposition::Tasks(tasks) => DispositionOut::Tasks(tasks.iter().map(Into::into).collect()),
        };
        Self {
            tenant: &plan.tenant,
            user_id: plan.user_id.as_deref(),
            category: plan.category.as_deref(),
            source: plan.source.index() as u8,
            routing: routing_number(plan.routing),
            accepted_at: plan.accepted_at.millis(),
            expires_at: plan.expires_at.map(Timestamp::millis),
            content: (&plan.content).into(),
            data: &plan.data,
            metadata: &plan.metadata,
            decisions: plan.decisions.iter().map(decision).collect(),
            disposition,
            claims: plan.claims.iter().map(|claim| (claim.key.0, claim.expires_at.millis(), claim.body_hash)).collect(),
        }
    }
}

impl<'a> PlanOut<'a> {
    /// Without what is personal.
    pub(super) fn bare(plan: &'a domain::Plan) -> Self {
        let mut out = Self::from(plan);
        if let Content::Inline { .. } = &plan.content {
            out.content = ContentOut::Inline { title: "", body: "", html: None, sms: None };
        }
        (out.data, out.metadata) = (EMPTY, EMPTY);
        if let DispositionOut::Tasks(tasks) = &mut out.disposition {
            tasks.iter_mut().for_each(|task| task.address.clear());
        }
        out
    }
}

/// An object with nothing in it.
const EMPTY: &str = "{}";

#[derive(Decode)]
pub(super) struct Plan {
    tenant: Text,
    user_id: Option<Text>,
    category: Option<Text>,
    source: u8,
    routing: u8,
    accepted_at: u64,
    expires_at: Option<u64>,
    content: ContentIn,
    data: Text,
    metadata: Text,
    decisions: Vec<DecisionRow>,
    disposition: DispositionIn,
    claims: Vec<(u128, u64, u64)>,
}

impl Plan {
    pub(super) fn into_domain(self, position: Position) -> Result<domain::Plan, CodecError> {
        let disposition = match self.disposition {
            DispositionIn::Skipped((MERGED, Some(into))) => Disposition::Merged { into: super::v1::position(into)? },
            DispositionIn::Skipped(reason) => Disposition::Skipped(reason_in(reason)?),
            DispositionIn::Tasks(tasks) => {
                Disposition::Tasks(tasks.into_iter().map(TaskIn::into_domain).collect::<Result<_, _>>()?)
            }
        };
        let claim = |(key, expires_at, body_hash)| PlanClaim {
            key: ClaimKey(key),
            expires_at: Timestamp(expires_at),
            body_hash,
        };
        Ok(domain::Plan {
            position,
            tenant: self.tenant,
            user_id: self.user_id,
            category: self.category,
            source: source(self.source)?,
            routing: routing(self.routing)?,
            accepted_at: Timestamp(self.accepted_at),
            expires_at: self.expires_at.map(Timestamp),
            content: self.content.into(),
            data: self.data,
            metadata: self.metadata,
            decisions: self.decisions.into_iter().map(decision_in).collect::<Result<_, _>>()?,
            disposition,
            claims: self.claims.into_iter().map(claim).collect(),
            group: None,
            presentation: domain::Presentation::default(),
            delivery: domain::Delivery::default(),
            campaign: None,
            personal: Default::default(),
        })
    }
}
