//! `fanfare-load bare`.

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::bare::BareLoop;
use crate::channel::Channel;
use crate::http_client::Url;
use crate::mock::Kind;
use crate::mock_process::MockHandle;

/// Measures how fast this machine can deliver with nothing in between.
#[derive(Debug, Args)]
pub(crate) struct BareArgs {
    /// What is delivered.
    #[arg(long, value_enum, default_value_t = Channel::Webhook)]
    channel: Channel,
    /// By the API of a provider of this kind; push goes over HTTP/2.
    #[arg(long, value_enum, conflicts_with = "channel")]
    kind: Option<Kind>,
    /// How many.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    count: u64,
    /// Connections kept open, each with one delivery under way; over HTTP/2 deliveries under way on one connection.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// A mock that runs already; without it, one is started on 127.0.0.1:9090 and :2525.
    #[arg(long, value_parser = Url::parse)]
    mock: Option<Url>,
}

impl BareArgs {
    pub(crate) async fn run(self) -> Result<()> {
        let mock = MockHandle::attach_or_start(self.mock.as_ref(), &MockHandle::USUAL).await?;
        mock.reset().await?;
        let listen = mock.stats().await?.listen;
        let bare = BareLoop { count: self.count, connections: usize::from(self.connections) };
        let elapsed = match (self.kind, self.channel) {
            (Some(kind), _) => bare.messages(kind, &listen.http).await?,
            (None, Channel::Webhook) => bare.webhooks(&Url { authority: listen.http, path: "/hook".into() }).await?,
            (None, Channel::Email) => bare.mails(&listen.smtp).await?,
            (None, _) => bail!("`--channel` is webhook or email; for the others say which `--kind` of provider"),
        };
        let distinct = mock.stats().await?.total().distinct;
        ensure!(distinct == self.count, "the mock has counted {distinct} of {} deliveries", self.count);
        println!("{} in {elapsed:.2?}: {:.0}/s", self.count, self.count as f64 / elapsed.as_secs_f64());
        Ok(())
    }
}
