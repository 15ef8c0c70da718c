//! `fanfare-load relay`: what stands in Kafka becomes POSTs, through engines and then through a bare loop over the same topic.
//! Both are counted and timed by the mock. The engines also write every plan, event, claim and book to the database, and tell
//! of every event on Kafka, which the bare loop does not.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::bare::BareLoop;
use crate::channel::Channel;
use crate::clock::now_us;
use crate::cluster::{Place, Ready};
use crate::engine::{Due, Item, Options, Shape, Stamp};
use crate::http_client::Url;
use crate::mock_process::MockHandle;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The longest that the brokers may take for the last records.
const FLUSH_MAX: Duration = Duration::from_secs(60);

/// Relays from Kafka to HTTP, through engines and through a bare loop.
#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    #[command(flatten)]
    place: Place,
    /// Notifications, all there before the engines are started.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// Connections of the bare loop; the engines have as many to an endpoint.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// How long the engines may take.
    #[arg(long, default_value = "300s", value_parser = crate::args::duration)]
    drain_timeout: Duration,
}

impl RelayArgs {
    pub(crate) async fn run(self) -> Result<()> {
        let directory = self.place.directory()?;
        let run = now_us();
        let Ready { mock, listen, mut nodes } = self.place.prepare(&directory, run, &[]).await?;
        // The first start makes the topics.
        nodes.start_all().await?;
        nodes.terminate_all().await?;
        let target = Url { authority: listen.http, path: "/hook".into() };
        let topic = format!("{}.notifications.normal", Place::name(run));
        self.fill(&topic, &target, run)?;

        nodes.start_all().await?;
        let distinct = self.drained(&mock).await?;
        let processor = nodes.processor_time();
        nodes.terminate_all().await?;
        let engines = per_second(&mock).await?;
        ensure!(distinct == self.count, "{distinct} of {} arrived within {:?}", self.count, self.drain_timeout);

        mock.reset().await?;
        let bare = BareLoop { count: self.count, connections: usize::from(self.connections) };
        bare.relay(&self.place.kafka, &topic, &target).await?;
        let alone = per_second(&mock).await?;
        println!("engines      {engines:.0}/s with {} of them", self.place.nodes);
        println!("processor    {:.1} ms per 1,000, engines", processor.as_secs_f64() * 1e6 / self.count as f64);
        println!("bare         {alone:.0}/s");
        println!("ratio        {:.3}", engines / alone);
        Ok(())
    }

    /// Writes the notifications as another program would.
    fn fill(&self, topic: &str, target: &Url, run: u64) -> Result<()> {
        let shape = Shape::new(&Options {
            channel: Channel::Webhook,
            target: format!("http://{}{}", target.authority, target.path),
            priority: "normal".into(),
            users: None,
            template: None,
            merge: None,
            stamp: Stamp::InData,
            run,
        });
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &self.place.kafka).create()?;
        let content_type = Header { key: "content-type", value: Some("application/json") };
        let headers = OwnedHeaders::new().insert(content_type);
        for number in 0..self.count {
            let body = shape.single(&Item { number, stamp_us: now_us(), due: Due::Now });
            let key = number.to_be_bytes();
            let mut record = BaseRecord::to(topic).key(&key[..]).payload(&body[..]).headers(headers.clone());
            while let Err((error, refused)) = producer.send(record) {
                ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "cannot write: {error}");
                producer.poll(Duration::from_millis(10));
                record = refused;
            }
        }
        producer.flush(FLUSH_MAX)?;
        Ok(())
    }

    /// Waits until all have arrived, or no longer; how many did.
    async fn drained(&self, mock: &MockHandle) -> Result<u64> {
        let began = Instant::now();
        loop {
            let distinct = mock.stats().await?.total().distinct;
            if distinct >= self.count || began.elapsed() > self.drain_timeout {
                return Ok(distinct);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// From the first to the last that arrived.
async fn per_second(mock: &MockHandle) -> Result<f64> {
    let total = mock.stats().await?.total();
    let millis = total.last_at_ms.saturating_sub(total.first_at_ms).max(1);
    Ok(total.distinct as f64 * 1000.0 / millis as f64)
}
