//! Carries a piece out: writes it down, puts its files and reads them back, drops its rows, and moves the walk on.

use super::walk::Haul;
use super::{Archive, ArchiveParts, metrics, rows};
use crate::codec;
use crate::domain::{ArchiveOrder, ArchivePiece};
use crate::homes::Tenure;
use crate::store::StoreError;

/// Notifications read at once after a crash.
const READ_MAX: usize = 1024;

/// It was not carried out to its end: the home is another's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotOurs;

impl Archive {
    /// The piece that was not carried out to its end, if there is one.
    pub(super) async fn unfinished(&self) -> Result<Option<ArchivePiece>, StoreError> {
        let body = self.parts.store.keyed(&[rows::piece_place()]).await?.pop().flatten();
        Ok(body.map(|body| codec::decode_archive_piece(&body)).transpose()?)
    }

    /// The same with its files, as far as they are still needed.
    pub(super) async fn haul_of(&self, piece: ArchivePiece) -> Result<Haul, StoreError> {
        let mut haul = Haul { files: Default::default(), piece };
        if !haul.piece.is_checked {
            for positions in haul.piece.positions().chunks(READ_MAX) {
                let stories = self.parts.store.stories(positions).await?;
                self.write_down(stories.into_iter().flatten().collect(), &mut haul.files).await?;
            }
        }
        Ok(haul)
    }

    /// Carries a piece of the order out. After an error it is begun again from its row.
    pub(super) async fn carry_out(
        &self,
        order: &mut ArchiveOrder,
        haul: Haul,
        tenure: &Tenure,
    ) -> Result<Result<(), NotOurs>, StoreError> {
        let ArchiveParts { store, .. } = &self.parts;
        let Haul { mut piece, files } = haul;
        if !piece.picks.is_empty() && !piece.is_checked {
            if !tenure.holds() {
                return Ok(Err(NotOurs));
            }
            store.put_keyed(vec![rows::piece_row(Some(&piece))]).await?;
            self.put_files(&mut piece, files).await?;
            piece.is_checked = true;
            if !tenure.holds() {
                return Ok(Err(NotOurs));
            }
            store.put_keyed(vec![rows::piece_row(Some(&piece))]).await?;
        }
        for (block, offsets) in &piece.picks {
            if !tenure.holds() {
                return Ok(Err(NotOurs));
            }
            self.parts.keeps.keep(piece.shard, *block, offsets).await?;
            if !tenure.holds() {
                return Ok(Err(NotOurs));
            }
            piece.counts.dropped += store.drop_offsets(piece.shard, *block, offsets).await? as u64;
        }
        order.counts.add(piece.counts);
        order.error = None;
        metrics::count(&piece.counts);
        let tenant = order.tenant.as_deref();
        let mut done = vec![rows::order_row(order)];
        done.extend(piece.next.map(|block| rows::next_row(tenant, piece.shard, block)));
        done.extend(piece.left.iter().map(|block| rows::left_row(tenant, piece.shard, *block, true)));
        done.extend(piece.cleared.iter().map(|block| rows::left_row(tenant, piece.shard, *block, false)));
        if !piece.picks.is_empty() {
            done.push(rows::piece_row(None));
        }
        store.put_keyed(done).await?;
        Ok(Ok(()))
    }

    async fn put_files(&self, piece: &mut ArchivePiece, files: super::file::Files) -> Result<(), StoreError> {
        let Some(place) = &self.parts.place else { return Ok(()) };
        let shard = piece.shard;
        let closed = tokio::task::spawn_blocking(move || files.close(shard)).await;
        let failed = |reason: String| StoreError::Failed(format!("cannot make files of the archive: {reason}"));
        let closed = closed.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        for file in closed {
            if let Err(error) = file.put_and_check(&**place).await {
                metrics::failed();
                return Err(StoreError::Failed(error.to_string()));
            }
            piece.counts.written += file.count;
            piece.counts.files += 1;
            piece.counts.bytes += file.body.len() as u64;
        }
        Ok(())
    }
}
