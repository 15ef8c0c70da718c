//! The command line.
//!
//! In: arguments, and for the client commands `FANFARE_URL` and `FANFARE_KEY`. Out: the exit code 0, or 1 with the reason in
//! one line on standard error (2 for a wrong command line). What a script reads goes to standard output, all else to
//! standard error.

mod serve;
mod check;
mod send;
mod dlq;
mod templates;
mod schema;
mod topics;
mod kafka_topics;
mod publish;
mod tail;
mod client;
mod kafka;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// A self-hosted dispatch engine: from what happens in a business to messages that reach people.
#[derive(Debug, Parser)]
#[command(name = "fanfare", version, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the API and the engine until SIGTERM
    Serve(serve::Serve),
    /// Load and explain the configuration, and reach every backend and provider
    Check(check::Check),
    /// Hand in one notification
    Send(Box<send::Send>),
    /// Dead letters: see them, send them again
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Templates as files: pull them from a server, push them to it
    #[command(subcommand)]
    Templates(templates::Templates),
    /// The tables of the store `cql`: see them, create them
    #[command(subcommand)]
    Schema(schema::Schema),
    /// Event types: see, declare and delete them
    #[command(subcommand)]
    Topics(topics::Topics),
    /// The engine's topics on Kafka: see, create and delete them
    #[command(subcommand)]
    KafkaTopics(kafka_topics::KafkaTopics),
    /// Write one notification request to Kafka, as another program would
    Publish(publish::Publish),
    /// Print what the engine tells of its work on Kafka, as it comes
    Tail(tail::Tail),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    match run(command_line.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain of causes, in one line.
            eprintln!("fanfare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

const BLOCKING_THREADS: usize = 6;

fn run(command: Command) -> anyhow::Result<()> {
    // One crypto library for everything; it fails only if one was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = match command {
        Command::Serve(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    // Reads from the disk: each thread keeps some memory, and the disk is not faster for more of them.
    let runtime = builder
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("cannot start the threads of the program")?;
    runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve.run().await,
            Command::Check(check) => check.run().await,
            Command::Send(send) => send.run().await,
            Command::Dlq(dlq) => dlq.run().await,
            Command::Templates(templates) => templates.run().await,
            Command::Schema(schema) => schema.run().await,
            Command::Topics(topics) => topics.run().await,
            Command::KafkaTopics(topics) => topics.run().await,
            Command::Publish(publish) => publish.run().await,
            Command::Tail(tail) => tail.run().await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
