//! `fanfare kafka-topics`.

use anyhow::ensure;
use clap::{Args, Subcommand};

use super::kafka::Cluster;
use crate::log::TopicState;

#[derive(Debug, Subcommand)]
pub(super) enum KafkaTopics {
    /// The engine's topics: partitions, records held, and where each partition ends
    List(List),
    /// Create the topics that are missing
    Create(Create),
    /// Delete the topics with everything in them
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    cluster: Cluster,
    /// Delete them indeed
    #[arg(long)]
    yes: bool,
}

impl KafkaTopics {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            KafkaTopics::List(list) => {
                for topic in list.cluster.admin()?.list().await? {
                    println!("{}", line(&topic));
                }
            }
            KafkaTopics::Create(create) => {
                for name in create.cluster.admin()?.create().await? {
                    println!("{name}");
                }
            }
            KafkaTopics::Delete(delete) => {
                ensure!(delete.yes, "this deletes the topics and everything in them: say --yes if that is meant");
                for name in delete.cluster.admin()?.delete().await? {
                    println!("{name}");
                }
                eprintln!("raise `log.kafka.generation` by one before they are used again: their offsets begin anew");
            }
        }
        Ok(())
    }
}

/// Name, partitions, records held, ends.
fn line(topic: &TopicState) -> String {
    let Some(partitions) = &topic.partitions else { return format!("{}\tmissing", topic.name) };
    let held: u64 = partitions.iter().map(|(first, end)| end.saturating_sub(*first)).sum();
    let ends: Vec<String> = partitions.iter().map(|(_, end)| end.to_string()).collect();
    format!("{}\t{} partitions\t{held} records\tends {}", topic.name, partitions.len(), ends.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_shown_in_one_line() {
        let topic = |partitions| TopicState { name: "a.events".to_owned(), partitions };
        assert_eq!(line(&topic(None)), "a.events\tmissing");
        let partitions = Some(vec![(2, 5), (0, 7)]);
        assert_eq!(line(&topic(partitions)), "a.events\t2 partitions\t10 records\tends 5 7");
    }
}
