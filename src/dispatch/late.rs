//! Whose receipts stay away: of each provider that is watched a sample of what it took, and whether receipts came in time.
//!
//! A provider that takes everything and delivers nothing answers well; only its receipts tell. While too many are late it is suspect,
//! and gets a trickle by which it is seen when they come again. What is in memory may be lost: a restart begins well.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::LateReceipts;
use crate::domain::{Outcome, Story, TaskId, Timestamp};
use crate::outcomes::{Answer, AnswerKind};

/// Messages that wait to be looked at, of one provider; they are spread over the time in which receipts are to come.
const SAMPLES: u32 = 200;

/// Of a burst so many are samples though they come close together: whoever sends a few hundred at once and then nothing for long
/// is to be judged too.
const BURST: u32 = 2 * WINDOW as u32;

/// As many decide together: fewer would make one lost receipt a fault.
const WINDOW: usize = 20;

/// Those of one look, so that it is bounded: with the samples of a time over which nobody looked.
const WAITING_MAX: usize = 2 * SAMPLES as usize;

/// Who is watched, and who is suspect.
#[derive(Debug, Default)]
pub(super) struct ReceiptWatch {
    watched: Mutex<HashMap<Arc<str>, Watched>>,
    /// So that nothing is looked up where nobody is watched.
    is_any: AtomicBool,
}

#[derive(Debug)]
struct Watched {
    /// Read by the channels; written when a window was judged.
    suspect: Arc<AtomicBool>,
    /// `None`: it is not watched.
    samples: Option<Samples>,
}

impl ReceiptWatch {
    /// Watches a provider from now on.
    pub(super) fn watch(&self, provider: &str, rule: LateReceipts) {
        self.with(provider, |watched| watched.samples = Some(Samples::new(rule)));
        self.is_any.store(true, Ordering::Relaxed);
    }

    /// Where it stands whether a provider is suspect.
    pub(super) fn suspect(&self, provider: &str) -> Arc<AtomicBool> {
        self.with(provider, |watched| watched.suspect.clone())
    }

    /// A provider answered; one of many that it took becomes a sample.
    pub(super) fn answered(&self, answer: &Answer) {
        if !self.is_any.load(Ordering::Relaxed) {
            return;
        }
        if let AnswerKind::Outcome(Outcome::Accepted { .. }) = &answer.kind
            && let Some(Watched { samples: Some(samples), .. }) = self.lock().get_mut(&answer.provider)
        {
            samples.sent(answer.task, answer.at);
        }
    }

    /// What is to be looked at now, at most [`WAITING_MAX`] of them.
    pub(super) fn due(&self, provider: &str, now: Timestamp) -> Vec<TaskId> {
        self.with(provider, |watched| watched.samples.as_mut().map_or_else(Vec::new, |samples| samples.due(now)))
    }

    /// Of so many that were looked at so many had no receipt; the share of the window, if one is full.
    pub(super) fn looked(&self, provider: &str, total: usize, late: usize) -> Option<f64> {
        self.with(provider, |watched| {
            let Watched { suspect, samples: Some(samples) } = watched else { return None };
            let ratio = samples.looked(total, late)?;
            let is_suspect = ratio > samples.rule.share;
            if suspect.swap(is_suspect, Ordering::Relaxed) != is_suspect {
                match is_suspect {
                    true => tracing::warn!(
                        provider,
                        ratio,
                        "receipts stay away: the provider gets a trickle until they come"
                    ),
                    false => tracing::info!(provider, ratio, "receipts come again: the provider has its share back"),
                }
            }
            Some(ratio)
        })
    }

    fn with<T>(&self, provider: &str, change: impl FnOnce(&mut Watched) -> T) -> T {
        let mut all = self.lock();
        if let Some(watched) = all.get_mut(provider) {
            return change(watched);
        }
        let watched = all.entry(provider.into());
        change(watched.or_insert_with(|| Watched { suspect: Arc::default(), samples: None }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a provider told of a task what became of it.
pub(super) fn has_receipt(story: &Story, task: TaskId) -> bool {
    story.events.iter().any(|event| event.task == task && event.kind.is_receipt())
}

/// The samples of one provider.
#[derive(Debug)]
struct Samples {
    rule: LateReceipts,
    waiting: VecDeque<(TaskId, Timestamp)>,
    /// When a whole burst may be taken again.
    rested_at: Timestamp,
    total: usize,
    late: usize,
}

impl Samples {
    fn new(rule: LateReceipts) -> Self {
        Self { rule, waiting: VecDeque::new(), rested_at: Timestamp(0), total: 0, late: 0 }
    }

    fn sent(&mut self, task: TaskId, at: Timestamp) {
        let pace = self.rule.within / SAMPLES;
        let is_next = self.rested_at.since(at) <= pace * (BURST - 1);
        if is_next && self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((task, at));
            self.rested_at = self.rested_at.max(at) + pace;
        }
    }

    fn due(&mut self, now: Timestamp) -> Vec<TaskId> {
        let within = self.rule.within;
        let count = self.waiting.iter().take_while(|(_, at)| now.since(*at) >= within).count();
        self.waiting.drain(..count).map(|(task, _)| task).collect()
    }

    fn looked(&mut self, total: usize, late: usize) -> Option<f64> {
        self.total += total;
        self.late += late;
        if self.total < WINDOW {
            return None;
        }
        let ratio = self.late as f64 / self.total as f64;
        (self.total, self.late) = (0, 0);
        Some(ratio)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Position, Priority, ShardId};

    const RULE: LateReceipts = LateReceipts { within: Duration::from_secs(200), share: 0.5 };

    fn task(offset: u64) -> TaskId {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        TaskId { position: Position::new(shard, offset), ordinal: 0 }
    }

    #[test]
    fn samples_are_spread_over_the_time_and_bounded() {
        let mut samples = Samples::new(RULE);
        for number in 0..10_000u64 {
            samples.sent(task(number), Timestamp(number * 100));
        }
        assert_eq!(samples.waiting.len(), WAITING_MAX);
        let due = samples.due(Timestamp(299_999));
        assert!((100..=140).contains(&due.len()), "a burst and one a second: {}", due.len());
        assert_eq!(due.last(), Some(&task(990)));
    }

    #[test]
    fn a_burst_gives_more_than_a_window_at_once_and_the_next_one_after_a_rest() {
        let mut samples = Samples::new(RULE);
        let mut burst = |at: u64| {
            let before = samples.waiting.len();
            (0..300).for_each(|number| samples.sent(task(number), Timestamp(at + number)));
            samples.waiting.len() - before
        };
        assert_eq!([burst(0), burst(10_000), burst(100_000)], [40, 10, 40]);
    }

    #[test]
    fn a_window_of_twenty_with_too_many_late_makes_a_provider_suspect_and_a_good_one_makes_it_well() {
        let watch = ReceiptWatch::default();
        watch.watch("texts", RULE);
        let suspect = watch.suspect("texts");
        let check = |total: usize, late: usize, ratio: Option<f64>, expected: bool| {
            assert_eq!(watch.looked("texts", total, late), ratio);
            assert_eq!(suspect.load(Ordering::Relaxed), expected);
        };
        check(19, 19, None, false);
        check(1, 1, Some(1.0), true);
        check(10, 0, None, true);
        check(10, 10, Some(0.5), false);
        check(40, 30, Some(0.75), true);
    }

    #[test]
    fn who_is_not_watched_is_never_suspect() {
        let watch = ReceiptWatch::default();
        assert_eq!(watch.looked("texts", 100, 100), None);
        assert!(!watch.suspect("texts").load(Ordering::Relaxed));
        assert!(watch.due("texts", Timestamp(1)).is_empty());
    }
}
