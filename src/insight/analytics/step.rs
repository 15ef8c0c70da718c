//! A step: the change that some blocks make to the roll-ups, carried out once whoever begins it and whoever ends it.
//!
//! It is written down first. Then each roll-up that has not seen it gets its part, then the blocks' summaries are written, then that it
//! is done. Each write may be done again; a roll-up says up to which step it is.

use std::collections::BTreeMap;

use super::rows::{self, Place};
use super::{Analytics, AnalyticsParts};
use crate::codec;
use crate::domain::{Counts, Dimensions, RollupState, RollupStep};
use crate::homes::Tenure;
use crate::store::StoreError;

/// Roll-ups that are changed at once.
const ROWS_ABREAST: usize = 32;

/// It was not carried out to its end: the home is another's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotOurs;

impl Analytics {
    /// How far a source is; `None`: nobody has begun.
    pub(super) async fn state(&self, source: u8) -> Result<Option<RollupState>, StoreError> {
        let body = self.parts.rows.keyed(&[rows::state_place(source)]).await?.pop().flatten();
        Ok(body.map(|body| codec::decode_rollup_state(&body)).transpose()?)
    }

    /// The step that was written down and is not known to be done.
    pub(super) async fn unfinished(&self, source: u8, state: &RollupState) -> Result<Option<RollupStep>, StoreError> {
        let body = self.parts.rows.keyed(&[rows::step_place(source)]).await?.pop().flatten();
        let step = body.map(|body| codec::decode_rollup_step(&body)).transpose()?;
        Ok(step.filter(|step| step.sequence > state.sequence))
    }

    /// Writes a step down, and carries it out; `state` is what it leaves behind.
    pub(super) async fn carry_out(
        &self,
        source: u8,
        step: &RollupStep,
        state: &RollupState,
        tenure: &Tenure,
    ) -> Result<Result<(), NotOurs>, StoreError> {
        if !tenure.holds() {
            return Ok(Err(NotOurs));
        }
        self.parts.rows.put_keyed(vec![rows::step_row(source, step)]).await?;
        self.finish(source, step, state, tenure).await
    }

    /// Carries out what is written down. After an error it is begun again.
    pub(super) async fn finish(
        &self,
        source: u8,
        step: &RollupStep,
        state: &RollupState,
        tenure: &Tenure,
    ) -> Result<Result<(), NotOurs>, StoreError> {
        let AnalyticsParts { rows: store, .. } = &self.parts;
        let changes: Vec<(Place, BTreeMap<Dimensions, Counts>)> = self.changes(source, step).into_iter().collect();
        for changes in changes.chunks(ROWS_ABREAST) {
            let places: Vec<Place> = changes.iter().map(|(place, _)| place.clone()).collect();
            let bodies = store.keyed(&places).await?;
            let mut changed = Vec::new();
            for ((place, delta), body) in changes.iter().zip(bodies) {
                let mut rollup = body.map(|body| codec::decode_rollup(&body)).transpose()?.unwrap_or_default();
                if rollup.through < step.sequence {
                    rollup.apply(step.sequence, delta);
                    changed.push(rows::row(place.clone(), codec::encode_rollup(&rollup)));
                }
            }
            if !tenure.holds() {
                return Ok(Err(NotOurs));
            }
            store.put_keyed(changed).await?;
        }
        let summaries = step.summaries.iter();
        let summaries =
            summaries.map(|(shard, block, summary)| rows::summary_row(rows::summary_place(*shard, *block), summary));
        if !tenure.holds() {
            return Ok(Err(NotOurs));
        }
        store.put_keyed(summaries.collect()).await?;
        if !tenure.holds() {
            return Ok(Err(NotOurs));
        }
        store.put_keyed(vec![rows::state_row(source, state)]).await?;
        Ok(Ok(()))
    }

    /// What a step adds to each roll-up.
    fn changes(&self, source: u8, step: &RollupStep) -> BTreeMap<Place, BTreeMap<Dimensions, Counts>> {
        let now = self.parts.clock.now();
        let mut changes: BTreeMap<Place, BTreeMap<Dimensions, Counts>> = BTreeMap::new();
        for (cell, counts) in &step.delta {
            for place in rows::rollup_places(cell, source, now) {
                changes.entry(place).or_default().entry(cell.dimensions.clone()).or_default().merge(counts);
            }
        }
        changes
    }
}
