//! Where one module's need meets another's face: the few lines that keep them from knowing each other.

use std::sync::Arc;

use async_trait::async_trait;

use crate::api::{DryRun, DryRunReport, DryRunTask, SandboxMessage, SandboxMessages};
use crate::brakes::Brakes;
use crate::domain::{Disposition, Experiment, NotificationId, NotificationRequest, ShardId};
use crate::intake::{ContentCheck, EndpointCheck, FieldProblem};
use crate::planning::{self, Experiments, People, Policy, Shelves};
use crate::providers::{Guard, Sandbox};
use crate::rendering::{self, Renderer};
use crate::store::{SharedStore, StoreError};

impl ContentCheck for Renderer {
    fn category(&self, tenant: &str, code: &str) -> Option<Box<str>> {
        Renderer::category(self, tenant, code)
    }

    fn check(&self, request: &NotificationRequest) -> Result<(), FieldProblem> {
        Renderer::check(self, request).map_err(|problem| FieldProblem::new(problem.pointer, problem.detail))
    }
}

impl Experiments for Renderer {
    fn experiment(&self, tenant: &str, code: &str) -> Option<Arc<Experiment>> {
        Renderer::experiment(self, tenant, code)
    }
}

/// Refuses webhooks to private addresses when they are asked for, not only when they are sent.
pub(super) struct Endpoints(pub(super) Guard);

#[async_trait]
impl EndpointCheck for Endpoints {
    async fn check(&self, url: &str) -> Result<(), String> {
        self.0.admit(url).await.map_err(|error| error.to_string())
    }
}

/// Plans and renders, and does nothing else.
pub(super) struct DryRunner {
    pub(super) policy: Arc<Policy>,
    pub(super) people: Arc<People>,
    pub(super) store: SharedStore,
    pub(super) renderer: Arc<Renderer>,
    pub(super) brakes: Arc<Brakes>,
    /// Those of the log's topics, in which open groups are looked for.
    pub(super) generation: u8,
    pub(super) partitions: u16,
}

#[async_trait]
impl DryRun for DryRunner {
    async fn dry_run(&self, request: NotificationRequest) -> Result<DryRunReport, StoreError> {
        let now = request.accepted_at;
        // A node that only takes requests does not follow them.
        self.brakes.refresh().await?;
        let (store, people, brakes) = (&*self.store, &*self.people, &self.brakes.set());
        let experiments = &*self.renderer;
        let shelves =
            Shelves { rows: store, received: store, stories: store, groups: store, people, experiments, brakes };
        let lane = request.priority;
        let shard = |partition| ShardId { generation: self.generation, lane, partition };
        let shards: Vec<ShardId> = (0..self.partitions).map(shard).collect();
        let peeked = planning::peek(&request, &shards, &self.policy, &shelves).await?;
        let plan = planning::dry_run(request, peeked, &self.policy, now);
        let skipped = match &plan.disposition {
            Disposition::Skipped(reason) => Some(reason.clone()),
            Disposition::Tasks(_) | Disposition::Merged { .. } => None,
        };
        let task = |(ordinal, spec): (usize, &crate::domain::TaskSpec)| DryRunTask {
            channel: spec.channel,
            address: spec.address.clone(),
            due: spec.due,
            rendered: rendering::message(&plan, ordinal, 1, &self.renderer)
                .map(|message| message.parts)
                .map_err(|error| error.to_string()),
        };
        let tasks = plan.tasks().iter().enumerate().map(task).collect();
        let merged_into = match &plan.disposition {
            Disposition::Merged { into } => Some(NotificationId(*into)),
            _ => None,
        };
        Ok(DryRunReport { decisions: plan.decisions, skipped, merged_into, tasks })
    }
}

/// The sandbox's messages, as the API shows them.
pub(super) struct SandboxShelf(pub(super) Arc<Sandbox>);

impl SandboxMessages for SandboxShelf {
    fn messages(&self, tenant: &str, before: Option<u64>, limit: usize) -> Vec<SandboxMessage> {
        let kept = self.0.list(tenant, before, limit);
        kept.into_iter()
            .map(|kept| SandboxMessage {
                number: kept.number,
                task: kept.message.task,
                attempt: kept.message.attempt,
                provider: kept.provider,
                channel: kept.message.channel,
                address: kept.message.address,
                parts: kept.message.parts,
                attachments: kept.message.attachments,
                unsubscribe: kept.message.unsubscribe,
                collapse_key: kept.message.collapse_key,
                data: kept.message.data,
                metadata: kept.message.metadata,
                at: kept.at,
            })
            .collect()
    }

    fn clear(&self, tenant: &str) {
        self.0.clear(tenant);
    }
}
