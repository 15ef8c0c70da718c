//! A task of a plan becomes a message.

use super::{RenderError, Renderer, merged};
use crate::domain::{Message, Plan};

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
        address: task.address.clone(),
        parts,
        data: data.into(),
        metadata: plan.metadata.clone(),
        accepted_at: plan.accepted_at,
        expires_at: plan.expires_at,
    })
}
