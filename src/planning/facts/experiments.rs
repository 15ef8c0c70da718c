//! Which text of its template's experiment each request of a batch gets. Known in memory: nothing is read.

use std::sync::Arc;

use super::CandidateFacts;
use crate::domain::{Content, Experiment, NotificationRequest};

/// Which templates compare texts.
pub trait Experiments: Send + Sync + 'static {
    /// `None`: it compares none, or there is no such template.
    fn experiment(&self, tenant: &str, code: &str) -> Option<Arc<Experiment>>;
}

/// Nobody compares anything.
impl Experiments for () {
    fn experiment(&self, _: &str, _: &str) -> Option<Arc<Experiment>> {
        None
    }
}

/// Assigns the users. Whoever has no id is told apart by the address.
pub(super) fn assign(experiments: &dyn Experiments, requests: &[&NotificationRequest], facts: &mut [CandidateFacts]) {
    for (request, facts) in requests.iter().zip(facts) {
        let Content::Template { code } = &request.content else { continue };
        let Some(experiment) = experiments.experiment(&request.tenant, code) else { continue };
        let to = &request.to;
        let user = [&request.user_id, &to.email, &to.phone, &to.push_token, &to.url].into_iter().flatten().next();
        facts.assigned = experiment.assign(&request.tenant, user.map_or("", |user| user));
    }
}
