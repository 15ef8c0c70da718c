//! Version 1 of what is counted, frozen: never edit a field here, make an `analytics_v2.rs`. Words stand once in a row, and lines name them
//! by number.

use std::collections::{BTreeMap, HashMap};

use bincode::{Decode, Encode};

use super::{CodecError, decode, encode, v1};
use crate::domain::{
    BlockSummary, CampaignId, Cell, Count, Counts, Dimensions, Entries, OffsetSet, Rollup, RollupState, RollupStep,
    ShardId, Sheet, SheetLine, Timestamp,
};

#[derive(Encode, Decode, Default)]
struct Packed {
    words: Vec<Box<str>>,
    campaigns: Vec<u128>,
    /// The lines one after the other, as [`Packer::add`] writes them: a year of days is read at once, and this is read
    /// several times faster than values one by one.
    lines: Vec<u8>,
}

#[derive(Encode, Decode)]
struct Summary {
    since: u64,
    counted: [u64; 16],
    entries: Packed,
}

#[derive(Encode, Decode)]
struct Step {
    sequence: u64,
    summaries: Vec<(u32, u64, Summary)>,
    delta: Packed,
}

#[derive(Encode, Decode)]
struct State {
    sequence: u64,
    minute: u64,
}

#[derive(Encode, Decode)]
struct RollupOut {
    through: u64,
    entries: Packed,
}

/// Numbers what was said once.
#[derive(Default)]
struct Packer<'a> {
    packed: Packed,
    words: HashMap<&'a str, u32>,
    campaigns: HashMap<CampaignId, u32>,
}

impl<'a> Packer<'a> {
    fn word(&mut self, word: Option<&'a str>) -> u32 {
        let Some(word) = word else { return 0 };
        *self.words.entry(word).or_insert_with(|| {
            self.packed.words.push(word.into());
            self.packed.words.len() as u32
        })
    }

    fn campaign(&mut self, campaign: Option<CampaignId>) -> u32 {
        let Some(campaign) = campaign else { return 0 };
        *self.campaigns.entry(campaign).or_insert_with(|| {
            self.packed.campaigns.push(campaign.0);
            self.packed.campaigns.len() as u32
        })
    }

    /// Numbers, each in seven bits a byte: tenant, hour, channel, category, template, variant, locale, provider, campaign, which
    /// counts are not zero (the first in the lowest bit), and those, with the sign in the lowest bit. Words and campaigns by
    /// their numbers, from 1; 0 is none.
    fn add(&mut self, tenant: Option<&'a str>, hour: u32, dimensions: &'a Dimensions, counts: &Counts) {
        let has = |mask: u32, count: Count| mask | u32::from(counts.get(count) != 0) << count as u32;
        let numbers = [
            self.word(tenant),
            hour,
            dimensions.channel as u32,
            self.word(Some(&dimensions.category)),
            self.word(dimensions.template.as_deref()),
            self.word(dimensions.variant.as_deref()),
            self.word(dimensions.locale.as_deref()),
            self.word(dimensions.provider.as_deref()),
            self.campaign(dimensions.campaign),
            Count::ALL.into_iter().fold(0, has),
        ];
        let values = Count::ALL.map(|count| counts.get(count)).into_iter().filter(|value| *value != 0);
        let signed = values.map(|value| (value << 1 ^ value >> 63) as u64);
        for number in numbers.into_iter().map(u64::from).chain(signed) {
            put_number(number, &mut self.packed.lines);
        }
    }
}

fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number from the front.
fn take_number(bytes: &mut &[u8]) -> Result<u64, CodecError> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let Some((byte, rest)) = bytes.split_first() else { break };
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(v1::damaged("number"))
}

/// Takes a line from the front; its words and campaign are among so many.
fn take_line(bytes: &mut &[u8], words: u32, campaigns: u32) -> Result<SheetLine, CodecError> {
    let mut below = |end: u32, what: &str| {
        let number = u32::try_from(take_number(bytes)?).ok().filter(|number| *number <= end);
        number.ok_or_else(|| v1::damaged(what))
    };
    let (tenant, hour) = (below(words, "word")?, below(u32::MAX, "hour")?);
    let channel = v1::channel(below(u32::from(u8::MAX), "channel")? as u8)?;
    let category = below(words, "word")?;
    let [template, variant, locale, provider] =
        [below(words, "word")?, below(words, "word")?, below(words, "word")?, below(words, "word")?];
    let campaign = below(campaigns, "campaign")?;
    let mask = below((1 << Count::COUNT) - 1, "count")?;
    let mut counts = Counts::default();
    for count in Count::ALL.into_iter().filter(|count| mask & 1 << *count as u32 != 0) {
        let signed = take_number(bytes)?;
        counts.add(count, (signed >> 1) as i64 ^ -((signed & 1) as i64));
    }
    Ok(SheetLine { tenant, hour, channel, category, template, variant, locale, provider, campaign, counts })
}

/// The least that a line takes.
const LINE_BYTES: usize = 10;

impl Packed {
    fn of(entries: &Entries) -> Self {
        let mut packer = Packer::default();
        for (cell, counts) in entries {
            packer.add(Some(&cell.tenant), cell.hour, &cell.dimensions, counts);
        }
        packer.packed
    }

    fn into_sheet(self) -> Result<Sheet, CodecError> {
        let (words, campaigns) = (self.words.len() as u32, self.campaigns.len() as u32);
        let (mut bytes, mut lines) = (&self.lines[..], Vec::with_capacity(self.lines.len() / LINE_BYTES));
        while !bytes.is_empty() {
            lines.push(take_line(&mut bytes, words, campaigns)?);
        }
        Ok(Sheet { words: self.words, campaigns: self.campaigns.into_iter().map(CampaignId).collect(), lines })
    }

    fn into_entries(self) -> Result<Entries, CodecError> {
        let sheet = self.into_sheet()?;
        let entry = |line: &SheetLine| {
            let tenant = sheet.word(line.tenant).unwrap_or_default().into();
            (Cell { tenant, hour: line.hour, dimensions: sheet.dimensions(line) }, line.counts)
        };
        Ok(sheet.lines.iter().map(entry).collect())
    }
}

impl Summary {
    fn of(summary: &BlockSummary) -> Self {
        let BlockSummary { since, counted, entries } = summary;
        Self { since: since.millis(), counted: counted.0, entries: Packed::of(entries) }
    }

    fn into_domain(self) -> Result<BlockSummary, CodecError> {
        let Self { since, counted, entries } = self;
        Ok(BlockSummary { since: Timestamp(since), counted: OffsetSet(counted), entries: entries.into_entries()? })
    }
}

/// What a block comes to, or what of it was dropped.
pub fn encode_block_summary(summary: &BlockSummary) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    encode(&Summary::of(summary), &mut bytes);
    bytes
}

/// Reads what [`encode_block_summary`] wrote.
pub fn decode_block_summary(bytes: &[u8]) -> Result<BlockSummary, CodecError> {
    decode::<Summary>(bytes)?.into_domain()
}

/// A step that is about to be carried out.
pub fn encode_rollup_step(step: &RollupStep) -> Vec<u8> {
    let summaries = step.summaries.iter();
    let row = Step {
        sequence: step.sequence,
        summaries: summaries.map(|(shard, block, summary)| (shard.to_u32(), *block, Summary::of(summary))).collect(),
        delta: Packed::of(&step.delta),
    };
    let mut bytes = Vec::with_capacity(4096);
    encode(&row, &mut bytes);
    bytes
}

/// Reads what [`encode_rollup_step`] wrote.
pub fn decode_rollup_step(bytes: &[u8]) -> Result<RollupStep, CodecError> {
    let row: Step = decode(bytes)?;
    let summary = |(shard, block, summary): (u32, u64, Summary)| {
        let shard = ShardId::from_u32(shard).ok_or_else(|| v1::damaged("shard"))?;
        Ok((shard, block, summary.into_domain()?))
    };
    let summaries = row.summaries.into_iter().map(summary).collect::<Result<_, CodecError>>()?;
    Ok(RollupStep { sequence: row.sequence, summaries, delta: row.delta.into_entries()? })
}

/// How far a source of roll-ups is.
pub fn encode_rollup_state(state: &RollupState) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    encode(&State { sequence: state.sequence, minute: state.minute }, &mut bytes);
    bytes
}

/// Reads what [`encode_rollup_state`] wrote.
pub fn decode_rollup_state(bytes: &[u8]) -> Result<RollupState, CodecError> {
    let State { sequence, minute } = decode(bytes)?;
    Ok(RollupState { sequence, minute })
}

/// The counts of a tenant in an hour or a day, which the row's place says.
pub fn encode_rollup(rollup: &Rollup) -> Vec<u8> {
    let mut packer = Packer::default();
    for (dimensions, counts) in &rollup.entries {
        packer.add(None, 0, dimensions, counts);
    }
    let mut bytes = Vec::with_capacity(32 * rollup.entries.len() + 64);
    encode(&RollupOut { through: rollup.through, entries: packer.packed }, &mut bytes);
    bytes
}

/// Reads what [`encode_rollup`] wrote, to be changed.
pub fn decode_rollup(bytes: &[u8]) -> Result<Rollup, CodecError> {
    let row: RollupOut = decode(bytes)?;
    let sheet = row.entries.into_sheet()?;
    let entries: BTreeMap<Dimensions, Counts> =
        sheet.lines.iter().map(|line| (sheet.dimensions(line), line.counts)).collect();
    Ok(Rollup { through: row.through, entries })
}

/// Reads the same, to be added up.
pub fn decode_rollup_sheet(bytes: &[u8]) -> Result<Sheet, CodecError> {
    decode::<RollupOut>(bytes)?.entries.into_sheet()
}
