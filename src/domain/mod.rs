//! What things are: plain types and the rules they carry. No I/O, no async, no clock; it knows no other module.
//!
//! A [`NotificationRequest`] stands in the log at a [`Position`], which is its identity. Planning makes a [`Plan`] of
//! it: [`Decision`]s and [`TaskSpec`]s. What happens to a task is an [`Event`], and [`Story::state`] folds the events
//! into its one [`TaskState`]. Rendering makes a [`Message`], and a provider's answer is an [`Outcome`].

mod text;
mod channel;
mod consent;
mod priority;
mod time;
mod zone;
mod locale;
mod ids;
mod request;
mod template;
mod sms;
mod experiment;
mod template_change;
mod user;
mod device;
mod preference;
mod subscription;
mod suppression;
mod tally;
mod archive;
mod audit;
mod brake;
mod category;
mod calendar;
mod campaign;
mod group;
mod schedule;
mod decision;
mod task;
mod personal;
mod definition;
mod domain_event;
mod event;
mod history;
mod inbox;
mod topic;
mod message;
mod outcome;

pub use archive::{ArchiveCounts, ArchiveId, ArchiveOrder, ArchivePiece, ArchiveState};
pub use audit::{AUDIT_KEPT, AuditRecord, Erasure};
pub use brake::{Brake, BrakeEffect, BrakeKind, BrakeNames, BrakeScope, BrakeSet, BrakeVerdict, HOLD_MAX, held_until};
pub use calendar::{Calendar, SpecialDay, end_of_special_days};
pub use campaign::{
    Audience, Campaign, CampaignCommand, CampaignKind, CampaignProgress, CampaignStatus, Canary, ChunkResult, Missed,
};
pub use category::{Categories, Category, millionths};
pub use channel::Channel;
pub use consent::Consent;
pub use decision::{Decision, SkipReason, Step, Verdict};
pub use definition::{Definition, DefinitionKind};
pub use device::{DEVICE_IDLE_MAX, Device, Platform};
pub use domain_event::{DomainEvent, EVENT_TYPE_BYTES_MAX, EVENT_TYPE_RULE, is_event_type};
pub use event::{Event, EventKind};
pub use experiment::{Assignment, Experiment};
pub use group::{Aggregate, Gathered, Group, Joined, OpenGroup, Told};
pub use history::WHOLE;
pub use ids::{BLOCK_OFFSETS, CampaignId, InvalidId, NotificationId, Position, ShardId, TASKS_MAX, TaskId};
pub use inbox::{DATED_KEPT, DatedKept, InboxEntry, InboxPlace, InboxWord};
pub use locale::canonical_locale;
pub use message::{Address, Attachment, Message, Parts, PushPart};
pub use outcome::{Death, Outcome, Whose};
pub use personal::{Owner, Personal, SealedPart};
pub use preference::{QuietChoice, QuietHours};
pub use priority::Priority;
pub use request::{
    AttachmentReference, ClaimKey, Content, Idempotency, NO_FIELDS, NotificationRequest, Recipient, RequestHead,
    Routing, Source,
};
pub use schedule::{RunKind, RunState, ScheduleRun};
pub use sms::{SmsEncoding, SmsSegments, sms_segments};
pub use subscription::{Subscription, SubscriptionChannel};
pub use suppression::{AddressKind, SuppressedAddress, Suppression, SuppressionCause};
pub use tally::{
    BlockSummary, Cell, Count, Counts, Dimensions, Entries, OffsetSet, Rollup, RollupState, RollupStep, Sheet,
    SheetLine, add_entry,
};
pub use task::{
    CONFIRMATION_REASON, Delivery, Disposition, HELD_REASON, Plan, PlanClaim, Presentation, Story, TaskSpec, TaskState,
};
pub use template::{
    CONTROL_VARIANT, CurrentTemplate, ExperimentSource, PartSources, PushSource, TEMPLATE_CODE_RULE, TemplateKey,
    TemplateKind, TemplateSource, Variable, VariableKind, VariantSource, is_template_code,
};
pub use template_change::{TemplateAction, TemplateChange, TemplateHistory, TemplateVersion};
pub use text::cut;
pub use time::Timestamp;
pub use topic::{MessageId, Topic, TopicGroup, TopicMessage};
pub use user::{SealedEntry, User, UserEntry, UserKey};
pub use zone::{LocalDate, TimeOfDay, Zone};
