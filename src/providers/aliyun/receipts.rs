//! What is posted back (`SmsReport`): an array, and no signature. What nobody else knows stands in its address.

use async_trait::async_trait;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::config::OutcomeWord;
use crate::domain::Timestamp;
use crate::providers::mark::Mark;
use crate::providers::outcome::Table;
use crate::providers::{Receipt, ReceiptError, ReceiptKind, ReceiptPost, ReceiptReader, Receipts};

pub(super) struct Reports {
    secret: Box<[u8]>,
    table: Table,
    mark: Mark,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    report_time: String,
    success: bool,
    #[serde(default)]
    err_code: String,
    #[serde(default)]
    biz_id: Option<Box<str>>,
    #[serde(default)]
    out_id: Option<Box<str>>,
}

/// Anything else, and it is posted again after 1, 5 and 10 minutes.
const TAKEN: &str = r#"{"code":0,"msg":"ok"}"#;

impl Reports {
    pub(super) fn new(secret: &str, table: Table, mark: Mark) -> Self {
        Self { secret: secret.as_bytes().into(), table, mark }
    }

    fn receipt(&self, report: Report, now: Timestamp) -> Receipt {
        let rule = self.table.rule_of(&report.err_code).map(|rule| rule.outcome);
        let kind = if report.success {
            ReceiptKind::Delivered
        } else {
            ReceiptKind::Bounced {
                is_gone: rule == Some(OutcomeWord::DeadRecipient),
                is_opt_out: rule == Some(OutcomeWord::OptedOut),
            }
        };
        let is_code = (1..=64).contains(&report.err_code.len())
            && report.err_code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte));
        Receipt {
            task: report.out_id.as_deref().and_then(|carried| self.mark.task(carried)),
            provider_message_id: report.biz_id,
            kind,
            // The clocks there are those of China.
            at: Timestamp::parse(&format!("{}+08:00", report.report_time)).unwrap_or(now),
            reason: (!report.success && is_code).then(|| report.err_code.into()),
            event_id: None,
            by_machine: false,
        }
    }
}

#[async_trait]
impl ReceiptReader for Reports {
    async fn read(&self, post: &ReceiptPost) -> Result<Receipts, ReceiptError> {
        let secret = form_urlencoded::parse(post.query.as_bytes()).find(|(name, _)| name == "secret");
        if !secret.is_some_and(|(_, secret)| bool::from(secret.as_bytes().ct_eq(&self.secret))) {
            return Err(ReceiptError::Forged);
        }
        let reports: Vec<Report> =
            serde_json::from_slice(&post.body).map_err(|_| ReceiptError::Unreadable("it is no list of reports"))?;
        let receipts = reports.into_iter().map(|report| self.receipt(report, post.now)).collect();
        Ok(Receipts { receipts, answer: Some(TAKEN) })
    }
}
