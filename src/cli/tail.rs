//! `fanfare tail`: what the engine tells of its work, as it comes.

use std::io::Write;

use clap::Args;

use super::kafka::Cluster;

#[derive(Debug, Args)]
pub(super) struct Tail {
    #[command(flatten)]
    cluster: Cluster,
    /// Begin with the oldest event that is held, instead of with the next
    #[arg(long)]
    from_start: bool,
    /// End after so many
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

impl Tail {
    /// Prints each event in a line.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut tail = self.cluster.admin()?.tail(self.from_start).await?;
        let mut left = self.count;
        while left != Some(0) {
            let event = tail.next().await?;
            let mut out = std::io::stdout().lock();
            out.write_all(&event)?;
            out.write_all(b"\n")?;
            out.flush()?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }
}
