//! Structured logs on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Telemetry};

/// Every ractor actor carries a span at level info; they are noise here.
const QUIET: &str = "ractor=warn";

/// Starts logging for this process; an error if the filter cannot be read. Called again it changes nothing.
pub fn start_logs(telemetry: &Telemetry) -> anyhow::Result<()> {
    let filter = filter(&telemetry.log_filter).map_err(anyhow::Error::msg)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match telemetry.log_format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Ok(())
}

/// Whether a filter can be read; why not.
pub fn check_log_filter(text: &str) -> Result<(), String> {
    filter(text).map(drop)
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{text}"))
        .map_err(|error| format!("`telemetry.log_filter` = \"{text}\" is no filter: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_levels_by_module() {
        assert!(filter("info").is_ok());
        assert!(filter("fanfare::dispatch=debug,warn").is_ok());
        assert!(filter("fanfare=loud").is_err());
    }
}
