//! Numbers for rows and times for cells, from one counter: what has the higher number also has the later time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ring::rand::{SecureRandom, SystemRandom};
use scylla::policies::timestamp_generator::TimestampGenerator;

use crate::clock::SharedClock;
use crate::store::StoreError;

/// Microseconds since 1970, each given once, never going back while the process lives: a wall clock that is set back must not
/// make a later write lose against an earlier one.
pub(super) struct Numbers {
    clock: SharedClock,
    last: AtomicI64,
    /// Keeps rows of two processes apart that write in the same microsecond.
    process: [u8; 4],
}

/// The number of a packed row; ordered by when it was written.
pub(super) type WriteNumber = [u8; 12];

impl Numbers {
    pub(super) fn new(clock: SharedClock) -> Result<Arc<Self>, StoreError> {
        let mut process = [0; 4];
        let filled = SystemRandom::new().fill(&mut process);
        filled.map_err(|_| StoreError::Failed("the machine gives no random numbers".to_owned()))?;
        Ok(Arc::new(Self { clock, last: AtomicI64::new(0), process }))
    }

    pub(super) fn next(&self) -> i64 {
        self.take(1)
    }

    /// The first of `count` that follow each other.
    pub(super) fn take(&self, count: usize) -> i64 {
        let count = i64::try_from(count).unwrap_or(i64::MAX / 2);
        let now = i64::try_from(self.clock.now().millis()).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
        let first = |last: i64| now.max(last.saturating_add(1));
        let after = |last| Some(first(last).saturating_add(count - 1));
        first(self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).unwrap_or_else(|last| last))
    }

    pub(super) fn process(&self) -> u32 {
        u32::from_be_bytes(self.process)
    }

    /// The number of a row that is written at `time`, which was taken.
    pub(super) fn write_number(&self, time: i64) -> WriteNumber {
        let mut number = [0; 12];
        number[..8].copy_from_slice(&time.to_be_bytes());
        number[8..].copy_from_slice(&self.process);
        number
    }

    /// What comes next is later than `time`: that of a cell which is about to be written over, and which another node with another
    /// clock may have written.
    pub(super) fn raise(&self, time: i64) {
        self.last.fetch_max(time, Ordering::Relaxed);
    }
}

/// The time and the process of a row's number; `None`: it is none.
pub(super) fn read_number(number: &[u8]) -> Option<(i64, u32)> {
    let (time, process) = number.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*time), u32::from_be_bytes(process.try_into().ok()?)))
}

/// For the driver, which gives each statement its time.
pub(super) struct CellTimes(pub(super) Arc<Numbers>);

impl TimestampGenerator for CellTimes {
    fn next_timestamp(&self) -> i64 {
        self.0.next()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    #[test]
    fn numbers_grow_though_the_clock_stands_still_or_goes_back() {
        let clock = ManualClock::starting_at(Timestamp(1_000_000));
        let numbers = Numbers::new(clock.clone()).expect("random");
        let first = numbers.next();
        assert_eq!(first, 1_000_000_000);
        assert_eq!(numbers.next(), first + 1);
        clock.set_back(Duration::from_secs(100));
        assert_eq!(numbers.next(), first + 2);
        clock.advance(Duration::from_secs(200));
        assert_eq!(numbers.next(), 1_100_000_000);
        numbers.raise(2_000_000_000);
        assert_eq!(numbers.next(), 2_000_000_001);
        assert_eq!((numbers.take(3), numbers.next()), (2_000_000_002, 2_000_000_005));
        let [one, other] = [5, 6].map(|time| numbers.write_number(time));
        assert!(one < other);
        assert_eq!(read_number(&one), Some((5, numbers.process())));
    }
}
