//! Rows of what is counted.

use std::collections::BTreeMap;

use super::*;
use crate::domain::{
    BlockSummary, CampaignId, Cell, Channel, Count, Counts, Dimensions, Entries, OffsetSet, Rollup, RollupState,
    RollupStep,
};

fn dimensions(template: Option<&str>) -> Dimensions {
    Dimensions {
        channel: Channel::Email,
        category: "marketing".into(),
        template: template.map(Into::into),
        variant: template.map(|_| "b".into()),
        locale: Some("de".into()),
        provider: Some("mail-main".into()),
        campaign: template.map(|_| CampaignId(1 << 100 | 7)),
    }
}

fn counts(sign: i64) -> Counts {
    let mut counts = Counts::default();
    for count in [Count::Sent, Count::Opened, Count::Cost] {
        counts.add(count, sign * (count as i64 + 100));
    }
    counts
}

fn entries(sign: i64) -> Entries {
    let cell = |hour, template| Cell { tenant: "acme".into(), hour, dimensions: dimensions(template) };
    Entries::from([(cell(500_000, Some("welcome")), counts(sign)), (cell(500_001, None), counts(-sign))])
}

fn summary() -> BlockSummary {
    let mut counted = OffsetSet::default();
    [5 * 1024, 5 * 1024 + 1023].into_iter().for_each(|offset| counted.insert(offset));
    BlockSummary { since: Timestamp(1_800_000_000_000), counted, entries: entries(1) }
}

#[test]
fn what_a_block_comes_to_is_read_as_it_was_written() {
    let golden = check_golden("block_summary_v1.bin", &encode_block_summary(&summary()));
    assert_eq!(decode_block_summary(&golden), Ok(summary()));
}

#[test]
fn a_step_and_how_far_its_source_is_are_read_as_they_were_written() {
    let step = RollupStep {
        sequence: 300,
        summaries: vec![(crate::store::conformance::shard(3), 5, summary())],
        delta: entries(-1),
    };
    let golden = check_golden("rollup_step_v1.bin", &encode_rollup_step(&step));
    assert_eq!(decode_rollup_step(&golden), Ok(step));
    let state = RollupState { sequence: 299, minute: 30_000_000 };
    let golden = check_golden("rollup_state_v1.bin", &encode_rollup_state(&state));
    assert_eq!(decode_rollup_state(&golden), Ok(state));
}

#[test]
fn a_rollup_is_read_as_it_was_written_to_be_changed_and_to_be_added_up() {
    let entries = BTreeMap::from([(dimensions(None), counts(1)), (dimensions(Some("welcome")), Counts::default())]);
    let rollup = Rollup { through: 300, entries };
    let golden = check_golden("rollup_v1.bin", &encode_rollup(&rollup));
    assert_eq!(decode_rollup(&golden), Ok(rollup.clone()));
    let sheet = decode_rollup_sheet(&golden).expect("readable");
    let lines: BTreeMap<Dimensions, Counts> =
        sheet.lines.iter().map(|line| (sheet.dimensions(line), line.counts)).collect();
    assert_eq!(lines, rollup.entries);
}

#[test]
fn damaged_counts_are_refused() {
    let bytes = encode_rollup(&Rollup { through: 1, entries: BTreeMap::from([(dimensions(None), counts(1))]) });
    for end in 0..bytes.len() {
        assert!(decode_rollup(&bytes[..end]).is_err(), "{end} bytes of it");
    }
    assert_eq!(decode_rollup(b"\x02more"), Err(CodecError::UnknownVersion(2)));
}
