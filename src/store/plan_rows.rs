//! Plans as bytes that were made before they came to the store: what is written of them, where part of them is sealed.

use crate::codec;
use crate::domain::Plan;

/// The values of a batch's plans in its order, one behind the other; or none of them.
#[derive(Debug, Clone, Default)]
pub struct PlanRows {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl PlanRows {
    pub fn with_capacity(plans: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(plans) }
    }

    /// Adds that of the next plan, which `write` appends. After an error there is none.
    pub fn add<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        write(&mut self.bytes)?;
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Appends what is to be written of the batch's plan at `index`.
    pub(super) fn write(&self, index: usize, plan: &Plan, bytes: &mut Vec<u8>) {
        match self.get(index) {
            Some(row) => bytes.extend_from_slice(row),
            None => codec::encode_plan(plan, bytes),
        }
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[begin..end])
    }
}
