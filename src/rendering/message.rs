//! A task of a plan becomes a message.

use super::{RenderError, Renderer, merged};
use crate::domain::{Content, Message, Plan};

/// Renders one task of a plan, as this attempt, with the parts that its channel uses.
///
/// # Panics
/// If the plan has no task with this ordinal.
pub fn message(plan: &Plan, ordinal: usize, attempt: u8, renderer: &Renderer) -> Result<Message, RenderError> {
    let task = &plan.tasks()[ordinal];
    let data = merged::data(plan)?;
    let parts = renderer.parts(&plan.tenant, &plan.content, &data, &plan.presentation, Some(task.channel))?;
    Ok(Message {
        task: plan.task_id(ordinal),
        attempt,
        channel: task.channel,
        priority: plan.priority(),
        tenant: plan.tenant.clone(),
        user_id: plan.user_id.clone(),
        category: plan.category.clone(),
        address: task.address.clone(),
        template: template(plan),
        parts,
        attachments: Vec::new(),
        unsubscribe: None,
        collapse_key: collapse_key(plan),
        data: data.into(),
        metadata: plan.metadata.clone(),
        accepted_at: plan.accepted_at,
        due: task.due.unwrap_or(plan.accepted_at),
        expires_at: plan.expires_at,
    })
}

fn template(plan: &Plan) -> Option<Box<str>> {
    match &plan.content {
        Content::Template { code } => Some(code.clone()),
        Content::Inline { .. } => None,
    }
}

/// What the request says, or else that of its group: a later count takes the place of an earlier one.
fn collapse_key(plan: &Plan) -> Option<Box<str>> {
    let of_group = || plan.group.as_ref().map(|group| format!("{:032x}", group.key.0).into());
    plan.delivery.collapse_key.clone().or_else(of_group)
}
