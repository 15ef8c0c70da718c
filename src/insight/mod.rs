//! What reads the results.

mod accounting;
mod analytics;

pub use analytics::{
    Analytics, AnalyticsParts, AnalyticsWork, Arm, Comparison, ExperimentReport, Filters, Group, GroupValue, Interval,
    Report, ReportLine, ReportQuery, compare,
};

pub use accounting::{Accounting, AccountingLine, SKIP_REASONS, accounting};
