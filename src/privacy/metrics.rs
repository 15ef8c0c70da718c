//! What is counted here.

use std::sync::LazyLock;

use crate::telemetry::{Counter, CounterMetric};

/// Users who were erased. Somebody who was erased twice counts twice.
const ERASURES: CounterMetric<0> = CounterMetric::new("fanfare_erasures_total", "Users who were erased.", []);
/// By what it was that a user was erased from: tasks that were cancelled for it.
const ERASED_TASKS: CounterMetric<0> =
    CounterMetric::new("fanfare_erased_tasks_total", "Tasks that were cancelled because their user was erased.", []);
/// Documents with all that is held of a user; `broken`: the store failed midway, and the document says so.
const EXPORTS: CounterMetric<1> =
    CounterMetric::new("fanfare_exports_total", "Documents with all that is held of a user.", ["outcome"]);
/// Lines of the audit log; `failed`: the store did not take one. Worry when there are any of those: what they are of was either not
/// done, or stands there without its outcome.
const AUDIT: CounterMetric<1> = CounterMetric::new("fanfare_audit_rows_total", "Lines of the audit log.", ["outcome"]);

static ERASURES_COUNTER: LazyLock<Counter> = LazyLock::new(|| ERASURES.with([]));
static ERASED_TASKS_COUNTER: LazyLock<Counter> = LazyLock::new(|| ERASED_TASKS.with([]));

pub(super) fn erased() {
    ERASURES_COUNTER.increment(1);
}

pub(super) fn cancelled(tasks: usize) {
    ERASED_TASKS_COUNTER.increment(tasks as u64);
}

pub(super) fn exported(is_whole: bool) {
    EXPORTS.with([if is_whole { "complete" } else { "broken" }]).increment(1);
}

pub(super) fn audited(is_written: bool) {
    AUDIT.with([if is_written { "written" } else { "failed" }]).increment(1);
}
