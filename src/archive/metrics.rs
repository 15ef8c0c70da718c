//! What the archive reports.

use crate::domain::{ArchiveCounts, ArchiveOrder};
use crate::telemetry::CounterMetric;

/// Grows while an order is carried out.
const WRITTEN: CounterMetric<0> = CounterMetric::new(
    "fanfare_archive_written_total",
    "Notifications that were written to files of the archive and read back.",
    [],
);
/// As the one before, where there is a place for files; by itself where the retention has none.
const DROPPED: CounterMetric<0> =
    CounterMetric::new("fanfare_archive_dropped_total", "Notifications that were dropped from the store.", []);
/// For the bill of whoever keeps them.
const BYTES: CounterMetric<0> =
    CounterMetric::new("fanfare_archive_bytes_total", "Bytes of files of the archive, compressed.", []);
/// Worry when it grows: nothing is lost, and nothing is archived or dropped either. The log and the order say why.
const FAILURES: CounterMetric<0> = CounterMetric::new(
    "fanfare_archive_failures_total",
    "Files of the archive that could not be written, read back, or were something else.",
    [],
);
/// Worry about any that failed: its run of the schedule says why.
const ORDERS: CounterMetric<1> =
    CounterMetric::new("fanfare_archive_orders_total", "Orders to archive by what became of them.", ["outcome"]);

pub(super) fn count(counts: &ArchiveCounts) {
    WRITTEN.with([]).increment(counts.written);
    DROPPED.with([]).increment(counts.dropped);
    BYTES.with([]).increment(counts.bytes);
}

pub(super) fn failed() {
    FAILURES.with([]).increment(1);
}

/// An order came to its end.
pub(super) fn ended(order: &ArchiveOrder) {
    ORDERS.with([order.state.name()]).increment(1);
}
