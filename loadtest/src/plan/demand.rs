//! From people to notifications a second.

use super::answer::{Figure, Section, Unit};
use super::file::Plan;

const DAY: f64 = 86_400.0;

/// How much there is to carry at the time of the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Demand {
    pub(crate) users: f64,
    pub(crate) a_day: f64,
    /// A second.
    pub(crate) average: f64,
    pub(crate) peak: f64,
    pub(crate) backlog: f64,
}

impl Demand {
    /// At the time that the plan is for.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self::after(plan, plan.demand.months_ahead)
    }

    /// So many months from now.
    pub(crate) fn after(plan: &Plan, months: f64) -> Self {
        let said = &plan.demand;
        let users = said.daily_users * (1.0 + said.growth_a_year).powf(months / 12.0);
        let a_day = users * said.notifications_each;
        let average = a_day / DAY;
        Self { users, a_day, average, peak: average * said.peak_factor, backlog: said.backlog }
    }

    /// How it comes about.
    pub(crate) fn section(&self, plan: &Plan) -> Section {
        let said = &plan.demand;
        let mut section = Section::new("What is to be carried");
        section.line(
            "users a day, now",
            Unit::Count,
            Figure::assumed(said.daily_users, "plan file, `demand.daily_users`"),
        );
        if said.months_ahead > 0.0 {
            let growth = Unit::Share.text(said.growth_a_year);
            let why =
                format!("{growth} more a year (assumed: plan file) for {} months", Unit::None.text(said.months_ahead));
            section.line("users a day, then", Unit::Count, Figure::computed(self.users, why));
        }
        let each = Unit::None.text(said.notifications_each);
        section.line(
            "notifications a day",
            Unit::Count,
            Figure::computed(self.a_day, format!("users × {each} each (assumed: plan file)")),
        );
        section.line("on average", Unit::PerSecond, Figure::computed(self.average, "a day's over 86,400 s"));
        let factor = Unit::None.text(said.peak_factor);
        section.line(
            "at the peak",
            Unit::PerSecond,
            Figure::computed(self.peak, format!("the average × {factor} (assumed: plan file, `demand.peak_factor`)")),
        );
        for channel in &plan.channels {
            let share = Unit::Share.text(channel.share);
            let why = format!(
                "{share} of the peak × {} calls each (assumed: plan file)",
                Unit::None.text(channel.calls_each)
            );
            section.line(
                format!("{} at the peak", channel.name),
                Unit::PerSecond,
                Figure::computed(self.calls(channel.share * channel.calls_each, self.peak), why),
            );
        }
        section
    }

    /// Calls of providers at a rate of notifications.
    pub(crate) fn calls(&self, calls_each: f64, rate: f64) -> f64 {
        calls_each * rate
    }
}
