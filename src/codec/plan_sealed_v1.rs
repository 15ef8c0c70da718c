//! Version 7 of a plan, frozen: what is clear of it, whose it is, and the rest, sealed; of what was erased there is no rest. And version
//! 1 of that rest, before it is sealed; and rows under leaders, whose rest is the whole row.
//!
//! What is clear is written as a plan of its own version, with its campaign if it has one, and nothing personal in it.

use bincode::{Decode, Encode};

use super::delivery_v1::{AttachmentRow, attachment_rows, attachments_in};
use super::v1::{Text, damaged};
use super::{
    CodecError, PLAN_IN_GROUP, PLAN_IN_NUMBERS, PLAN_WITH_PRESENTATION, decode, decode_lone_group_entry,
    decode_open_plan, decode_prefix, decode_sealed, encode, encode_as, encode_lone_group_entry, encode_plan_campaign,
    encode_sealed_owner, groups_v1, plan_v2, presentation_v1,
};
use crate::domain::{Content, Delivery, Disposition, Owner, Personal, Plan, Position, SealedPart, UserKey};
use crate::store::{GroupEntry, SealedEntry};

pub(super) const PLAN_SEALED: u8 = 7;

/// Begins the row of a plan whose personal part is sealed: the sealed bytes are appended to it. Without an owner nothing is.
pub fn encode_sealed_plan(plan: &Plan, owner: Option<&UserKey>, bytes: &mut Vec<u8>) {
    bytes.push(PLAN_SEALED);
    encode_long(bytes, |bytes| encode_bare(plan, bytes));
    // The user of the plan stands in what is clear.
    let owner = owner.filter(|_| plan.user_id.is_none()).map(|owner| &*owner.user_id);
    let written = bincode::encode_into_std_write(owner, bytes, super::CONFIGURATION);
    written.expect("a vector takes all bytes, and no text fails to encode");
}

/// Reads what stands behind the version.
pub(super) fn decode_sealed_plan(position: Position, bytes: &[u8]) -> Result<Plan, CodecError> {
    let (bare, rest) = decode_long(bytes)?;
    let mut plan = decode_open_plan(position, bare)?;
    let (owner, read) = decode_prefix::<Option<Text>>(rest)?;
    let sealed = &rest[read..];
    plan.personal = if sealed.is_empty() {
        Personal::Erased
    } else {
        let user_id = plan.user_id.clone().or(owner).ok_or_else(|| damaged("owner"))?;
        let owner = UserKey { tenant: plan.tenant.clone(), user_id };
        Personal::Sealed(Box::new(SealedPart { owner, bytes: sealed.into() }))
    };
    Ok(plan)
}

/// A plan without what is personal.
fn encode_bare(plan: &Plan, bytes: &mut Vec<u8>) {
    encode_plan_campaign(plan, bytes);
    let presentation = &plan.presentation;
    match &plan.group {
        _ if presentation.locale.is_some() || presentation.variant.is_some() => {
            encode_as(PLAN_WITH_PRESENTATION, &presentation_v1::PlanOut::bare(plan), bytes);
        }
        Some(group) => encode_as(PLAN_IN_GROUP, &groups_v1::PlanOut::bare(plan, group), bytes),
        None => encode_as(PLAN_IN_NUMBERS, &plan_v2::PlanOut::bare(plan), bytes),
    }
}

/// Title, body, HTML, text message.
type Texts<T> = (T, T, Option<T>, Option<T>);

#[derive(Encode)]
struct PersonalOut<'a> {
    texts: Option<Texts<&'a str>>,
    data: &'a str,
    metadata: &'a str,
    /// Of the tasks, in their order.
    addresses: Vec<Option<&'a str>>,
    actor: Option<&'a str>,
    zone: Option<&'a str>,
    attachments: Vec<AttachmentRow<&'a str>>,
    collapse_key: Option<&'a str>,
}

#[derive(Decode)]
struct PersonalIn {
    texts: Option<Texts<Text>>,
    data: Text,
    metadata: Text,
    addresses: Vec<Option<Text>>,
    actor: Option<Text>,
    zone: Option<Text>,
    attachments: Vec<AttachmentRow<Text>>,
    collapse_key: Option<Text>,
}

/// Appends what is personal of a plan, to be sealed.
pub fn encode_personal(plan: &Plan, bytes: &mut Vec<u8>) {
    let texts = match &plan.content {
        Content::Inline { title, body, html, sms } => Some((&**title, &**body, html.as_deref(), sms.as_deref())),
        Content::Template { .. } => None,
    };
    let out = PersonalOut {
        texts,
        data: &plan.data,
        metadata: &plan.metadata,
        addresses: plan.tasks().iter().map(|task| task.address.personal()).collect(),
        actor: plan.group.as_ref().and_then(|group| group.actor.as_deref()),
        zone: plan.presentation.zone.as_deref(),
        attachments: attachment_rows(&plan.delivery.attachments),
        collapse_key: plan.delivery.collapse_key.as_deref(),
    };
    encode(&out, bytes);
}

/// Puts what [`encode_personal`] wrote back to what was clear of the plan.
pub fn restore_personal(plan: &mut Plan, bytes: &[u8]) -> Result<(), CodecError> {
    let PersonalIn { texts, data, metadata, addresses, actor, zone, attachments, collapse_key } = decode(bytes)?;
    if let Some((title, body, html, sms)) = texts {
        plan.content = Content::Inline { title, body, html, sms };
    }
    (plan.data, plan.metadata) = (data, metadata);
    if addresses.len() != plan.tasks().len() {
        return Err(damaged("list of addresses"));
    }
    if let Disposition::Tasks(tasks) = &mut plan.disposition {
        for (task, text) in tasks.iter_mut().zip(addresses) {
            if let Some(text) = text {
                task.address = task.address.with_personal(text);
            }
        }
    }
    if let Some(group) = &mut plan.group {
        group.actor = actor;
    }
    plan.presentation.zone = zone;
    plan.delivery = Delivery { attachments: attachments_in(attachments), collapse_key };
    // Whose it is stands elsewhere where it names no user, and is known here.
    let of = match std::mem::take(&mut plan.personal) {
        Personal::Sealed(part) if plan.user_id.is_none() => Some(Box::new(Owner::User(part.owner))),
        _ => None,
    };
    plan.personal = Personal::Here { of };
    Ok(())
}

/// What stands under a leader, with its rest sealed.
pub(super) fn encode_sealed_entry(entry: &SealedEntry, bytes: &mut Vec<u8>) {
    encode_sealed_owner(&entry.owner, bytes);
    encode_long(bytes, |bytes| encode_lone_group_entry(&entry.bare, bytes));
    bytes.extend_from_slice(&entry.bytes);
}

/// Reads what [`encode_sealed_entry`] wrote; `None`: it is not sealed.
pub(super) fn decode_sealed_entry(bytes: &[u8]) -> Result<Option<GroupEntry>, CodecError> {
    let Some((owner, rest)) = decode_sealed(bytes)? else { return Ok(None) };
    let (bare, sealed) = decode_long(rest)?;
    let bare = decode_lone_group_entry(bare)?;
    Ok(Some(GroupEntry::Sealed(Box::new(SealedEntry { bare, owner, bytes: sealed.into() }))))
}

/// Appends something behind its length in four bytes.
fn encode_long(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    write(bytes);
    let length = (bytes.len() - at - 4) as u32;
    bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// What [`encode_long`] wrote, and what follows it.
fn decode_long(bytes: &[u8]) -> Result<(&[u8], &[u8]), CodecError> {
    let cut = bytes.split_first_chunk::<4>();
    let cut = cut.and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
    cut.ok_or_else(|| damaged("length"))
}
