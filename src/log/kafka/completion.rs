//! One append: its records are acknowledged one by one, in any order, and one caller waits for the last.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::locked;

pub(super) struct Completion {
    /// By the record's place in the append; written by the thread that hears of acknowledgements.
    offsets: Box<[AtomicU64]>,
    remaining: AtomicUsize,
    failure: Mutex<Option<String>>,
    done: Notify,
}

/// What goes along with a record, and comes back with its acknowledgement.
pub(super) struct Ticket {
    completion: Arc<Completion>,
    place: u32,
}

impl Completion {
    pub(super) fn of(records: usize) -> Arc<Self> {
        Arc::new(Self {
            offsets: (0..records).map(|_| AtomicU64::new(0)).collect(),
            remaining: AtomicUsize::new(records),
            failure: Mutex::default(),
            done: Notify::new(),
        })
    }

    /// For the record at this place.
    pub(super) fn ticket(self: &Arc<Self>, place: usize) -> Box<Ticket> {
        Box::new(Ticket { completion: self.clone(), place: place as u32 })
    }

    /// Waits until every record is acknowledged or has failed. The wait ends: librdkafka gives each record back after
    /// `message.timeout.ms`. The first failure, or the offsets in the order of the records.
    pub(super) async fn wait(&self) -> Result<impl Iterator<Item = u64> + '_, String> {
        while self.remaining.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        match locked(&self.failure).take() {
            Some(reason) => Err(reason),
            None => Ok(self.offsets.iter().map(|offset| offset.load(Ordering::Relaxed))),
        }
    }
}

impl Ticket {
    pub(super) fn acknowledged(self, offset: u64) {
        self.completion.offsets[self.place as usize].store(offset, Ordering::Relaxed);
        self.end();
    }

    pub(super) fn failed(self, reason: impl ToString) {
        locked(&self.completion.failure).get_or_insert_with(|| reason.to_string());
        self.end();
    }

    fn end(self) {
        if self.completion.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.completion.done.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn offsets_come_in_the_order_of_the_records_however_they_were_acknowledged() {
        let completion = Completion::of(3);
        for (place, offset) in [(2, 7), (0, 9), (1, 8)] {
            completion.ticket(place).acknowledged(offset);
        }
        assert_eq!(completion.wait().await.expect("all were taken").collect::<Vec<_>>(), [9, 8, 7]);
    }

    #[tokio::test]
    async fn one_failure_fails_all_and_the_first_reason_is_told() {
        let completion = Completion::of(3);
        completion.ticket(0).acknowledged(1);
        completion.ticket(1).failed("first");
        completion.ticket(2).failed("second");
        assert_eq!(completion.wait().await.err().as_deref(), Some("first"));
    }
}
