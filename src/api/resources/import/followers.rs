//! The followers of a chunk: what there is of them is asked for at once, and all are written at once.

use super::LINES_PER_TURN;
use super::lines::Line;
use super::report::Report;
use crate::api::problem::Problem;
use crate::api::profile::follower_line;
use crate::api::state::Api;

/// Durable on return. Of lines of one user the last counts.
pub(super) async fn take(
    api: &Api,
    tenant: &str,
    subject: &str,
    lines: &[Line],
    report: &mut Report,
) -> Result<(), Problem> {
    let mut wishes = Vec::with_capacity(lines.len());
    for (place, line) in lines.iter().enumerate() {
        if place > 0 && place.is_multiple_of(LINES_PER_TURN) {
            tokio::task::yield_now().await;
        }
        match line.text().and_then(follower_line) {
            Ok(wish) => wishes.push(wish),
            Err(problems) => report.refuse(line.number, &problems),
        }
    }
    let taken = wishes.len() as u64;
    if taken > 0 {
        api.subscriptions.put_many(tenant, subject, wishes).await?;
    }
    report.take_up_to(lines.last().map_or(0, |line| line.number), taken, 0);
    Ok(())
}
