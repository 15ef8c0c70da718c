//! What a plan may say: each number within its bounds, each name known. An error says which key, and what it may be.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::file::{Plan, Redis};

impl Plan {
    /// All of it.
    pub(super) fn check(&self) -> Result<()> {
        self.check_demand()?;
        self.check_channels()?;
        self.check_machines()?;
        self.check_backends()?;
        self.check_published()
    }

    fn check_demand(&self) -> Result<()> {
        let demand = &self.demand;
        within("demand.daily_users", demand.daily_users, 1.0, 1e11)?;
        within("demand.notifications_each", demand.notifications_each, 1e-3, 1e5)?;
        within("demand.peak_factor", demand.peak_factor, 1.0, 1e4)?;
        within("demand.growth_a_year", demand.growth_a_year, -0.99, 100.0)?;
        within("demand.months_ahead", demand.months_ahead, 0.0, 120.0)?;
        within("demand.backlog", demand.backlog, 0.0, 1e13)?;
        within("demand.days_a_month", demand.days_a_month, 28.0, 31.0)?;
        for (key, value) in [
            ("objectives.create_p99_ms", self.objectives.create_p99_ms),
            ("objectives.hand_over_p99_ms", self.objectives.hand_over_p99_ms),
            ("objectives.drain_minutes", self.objectives.drain_minutes),
        ] {
            value.map_or(Ok(()), |value| within(key, value, 1e-3, 1e9))?;
        }
        Ok(())
    }

    fn check_channels(&self) -> Result<()> {
        ensure!(!self.channels.is_empty(), "there is no channel: add `[[channels]]` with `name` and `share`");
        let mut names = BTreeSet::new();
        for channel in &self.channels {
            let name = &channel.name;
            ensure!(names.insert(name), "the channel `{name}` stands there twice: add their shares up in one");
            within(&format!("the share of the channel `{name}`"), channel.share, 0.0, 1.0)?;
            within(&format!("the price of the channel `{name}`"), channel.price, 0.0, 1e4)?;
            within(&format!("`calls_each` of the channel `{name}`"), channel.calls_each, 0.0, 1e4)?;
        }
        let sum: f64 = self.channels.iter().map(|channel| channel.share).sum();
        ensure!((sum - 1.0).abs() < 1e-6, "the shares of the channels add up to {sum}: they must be 1");
        let mut names = BTreeSet::new();
        for provider in &self.providers {
            let (name, channel) = (&provider.name, &provider.channel);
            ensure!(names.insert(name), "the provider `{name}` stands there twice: give each a name of its own");
            ensure!(
                self.channels.iter().any(|known| known.name == *channel),
                "the provider `{name}` is of the channel `{channel}`, which is none of the plan: it has {}",
                self.channels.iter().map(|known| format!("`{}`", known.name)).collect::<Vec<_>>().join(", ")
            );
            within(&format!("`rate_per_second` of the provider `{name}`"), provider.rate_per_second, 1e-3, 1e9)?;
        }
        ensure!(self.failures.providers <= 100, "`failures.providers` is {}: at most 100", self.failures.providers);
        Ok(())
    }

    fn check_machines(&self) -> Result<()> {
        let node = &self.node;
        within("node.cores", node.cores, 0.1, 1e4)?;
        within("node.memory_gb", node.memory_gb, 0.1, 1e6)?;
        within("node.disk_gb", node.disk_gb, 0.1, 1e9)?;
        within("node.price_a_month", node.price_a_month, 0.0, 1e7)?;
        within("node.utilisation", node.utilisation, 0.05, 0.95)?;
        node.disk_write_mb.map_or(Ok(()), |rate| within("node.disk_write_mb", rate, 0.1, 1e6))?;
        within("node.core_speed", node.core_speed, 0.01, 100.0)?;
        ensure!(self.failures.nodes <= 100, "`failures.nodes` is {}: at most 100", self.failures.nodes);
        within("scaling.sigma", self.scaling.sigma, 0.0, 1.0)?;
        within("scaling.kappa", self.scaling.kappa, 0.0, 1.0)?;
        within("engine.idle_cores", self.engine.idle_cores, 0.0, 1e3)?;
        for (channel, cost) in &self.engine.processor_us {
            within(&format!("engine.processor_us.{channel}"), *cost, 1e-3, 1e9)?;
        }
        for (key, value) in
            [("engine.memory_mb", self.engine.memory_mb), ("engine.written_bytes", self.engine.written_bytes)]
        {
            value.map_or(Ok(()), |value| within(key, value, 0.0, 1e9))?;
        }
        self.fixed.iter().try_for_each(|(name, price)| within(&format!("fixed.{name}"), *price, 0.0, 1e9))
    }

    fn check_backends(&self) -> Result<()> {
        ensure!(
            self.retention.contains_key("notifications"),
            "`retention.notifications` is missing: say for how many `days` they are kept"
        );
        for (kind, kept) in &self.retention {
            within(&format!("retention.{kind}.days"), kept.days, 0.0, 36_500.0)?;
            within(&format!("retention.{kind}.each"), kept.each, 0.0, 1e6)?;
            ensure!(
                kept.bytes.is_some() || kind == "notifications",
                "`retention.{kind}.bytes` is missing: say how large one is (only `notifications` are measured)"
            );
            kept.bytes.map_or(Ok(()), |bytes| within(&format!("retention.{kind}.bytes"), bytes, 0.0, 1e9))?;
        }
        let parts = [self.kafka.is_some(), self.store.is_some(), self.redis.is_some()];
        ensure!(
            parts.iter().all(|is_there| *is_there == parts[0]),
            "several nodes share Kafka, a CQL database and Redis: write all of `[kafka]`, `[store]` and `[redis]`, or none for one node"
        );
        if let Some(kafka) = &self.kafka {
            ensure!((1..=10_000).contains(&kafka.brokers), "`kafka.brokers` is {}: 1 to 10000", kafka.brokers);
            ensure!(
                (1..=kafka.brokers).contains(&kafka.replication),
                "`kafka.replication` is {}: 1 to as many as there are brokers ({})",
                kafka.replication,
                kafka.brokers
            );
            within("kafka.price_a_month", kafka.price_a_month, 0.0, 1e7)?;
            within("kafka.records_each", kafka.records_each, 0.0, 1e4)?;
            within("kafka.record_bytes", kafka.record_bytes, 1.0, 1e8)?;
            within("kafka.retention_hours", kafka.retention_hours, 0.0, 1e6)?;
            within("kafka.disk_gb", kafka.disk_gb, 0.1, 1e9)?;
            within("kafka.largest_priority", kafka.largest_priority, 0.01, 1.0)?;
            kafka.partition_rate.map_or(Ok(()), |rate| within("kafka.partition_rate", rate, 0.1, 1e9))?;
        }
        if let Some(store) = &self.store {
            ensure!((1..=100).contains(&store.replication), "`store.replication` is {}: 1 to 100", store.replication);
            within("store.price_a_month", store.price_a_month, 0.0, 1e7)?;
            within("store.node_operations", store.node_operations, 1.0, 1e9)?;
            within("store.disk_gb", store.disk_gb, 0.1, 1e9)?;
            within("store.disk_fill", store.disk_fill, 0.05, 0.95)?;
            for (key, value) in [("store.writes_each", store.writes_each), ("store.reads_each", store.reads_each)] {
                value.map_or(Ok(()), |value| within(key, value, 0.0, 1e4))?;
            }
        }
        self.redis.as_ref().map_or(Ok(()), check_redis)
    }

    fn check_published(&self) -> Result<()> {
        let Some(published) = &self.published else { return Ok(()) };
        for channel in published.channels.keys() {
            ensure!(
                self.channels.iter().any(|known| known.name == *channel),
                "`published.channels.{channel}` is a channel that the plan does not have: take it out, or add it to `[[channels]]`"
            );
        }
        for (name, price) in published.channels.iter().chain(&published.infrastructure) {
            within(&format!("the published price of `{name}`"), *price, 0.0, 1e12)?;
        }
        within("published.total", published.total, 0.0, 1e12)?;
        within("published.each_user", published.each_user, 0.0, 1e6)?;
        within("published.workers", published.workers, 0.0, 1e6)
    }
}

fn check_redis(redis: &Redis) -> Result<()> {
    ensure!((1..=10_000).contains(&redis.nodes), "`redis.nodes` is {}: 1 to 10000", redis.nodes);
    within("redis.price_a_month", redis.price_a_month, 0.0, 1e7)?;
    redis.operations_each.map_or(Ok(()), |each| within("redis.operations_each", each, 0.0, 1e4))?;
    within("redis.node_operations", redis.node_operations, 1.0, 1e9)?;
    within("redis.key_bytes", redis.key_bytes, 0.0, 1e6)?;
    within("redis.key_minutes", redis.key_minutes, 0.0, 1e6)?;
    within("redis.memory_gb", redis.memory_gb, 0.01, 1e6)
}

fn within(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    ensure!((low..=high).contains(&value), "{key} is {value}: write a number from {low} to {high}");
    Ok(())
}
