//! `fanfare check`.

use std::path::PathBuf;

use clap::Args;

use crate::runtime::Verdict;
use crate::{config, runtime};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration; without it the built-in defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look at what this domain publishes for its mails (SPF, DKIM, DMARC, MX), and at nothing else
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// The names of the DKIM keys to look for; without it those of the configured providers that send from the domain
    #[arg(long, value_name = "NAME", requires = "domain", num_args = 1..)]
    selector: Vec<String>,
}

impl Check {
    /// Shows what is in force and reaches everything; an error if something cannot be reached.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let loaded = config::load(self.config.as_deref())?;
        if let Some(domain) = &self.domain {
            return check_domain(&loaded.config, domain, &self.selector).await;
        }
        println!("{}", loaded.effective.trim_end());
        for warning in loaded.warnings.iter().chain(&runtime::warnings(&loaded.config)) {
            eprintln!("warning: {warning}");
        }
        let mut failures = Vec::new();
        for (name, outcome) in runtime::reach(&loaded.config).await {
            match outcome {
                Ok(()) => eprintln!("ok: {name}"),
                Err(reason) => failures.push(format!("{name}: {reason}")),
            }
        }
        anyhow::ensure!(failures.is_empty(), "{}", failures.join("; "));
        Ok(())
    }
}

/// A line for each thing that was looked at; an error if mails of the domain are refused for one of them.
async fn check_domain(config: &config::Config, domain: &str, selectors: &[String]) -> anyhow::Result<()> {
    let findings = runtime::check_mail_domain(config, domain, selectors).await.map_err(anyhow::Error::msg)?;
    let mut failures = Vec::new();
    for finding in &findings {
        let word = match finding.verdict {
            Verdict::Good => "ok",
            Verdict::Advice => "advice",
            Verdict::Bad => {
                failures.push(&*finding.what);
                "bad"
            }
        };
        println!("{word}: {}: {}", finding.what, finding.text);
    }
    anyhow::ensure!(failures.is_empty(), "mails of {domain} are not safe to arrive: {}", failures.join("; "));
    Ok(())
}
