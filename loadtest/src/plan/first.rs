//! What breaks first: everything that a plan uses up, by how much more of it there is than the peak needs.

use super::answer::{Figure, Section, Unit};

/// Something that can be used up.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) name: String,
    /// At the peak of the plan.
    pub(crate) need: f64,
    pub(crate) limit: f64,
    unit: Unit,
    why: String,
}

impl Resource {
    /// What is needed at the peak and what there is, in this unit, and where the limit is from.
    pub(crate) fn new(name: impl Into<String>, unit: Unit, need: f64, limit: f64, why: impl Into<String>) -> Self {
        Self { name: name.into(), need, limit, unit, why: why.into() }
    }

    /// The same of something a second.
    pub(crate) fn rate(name: impl Into<String>, need: f64, limit: f64, why: impl Into<String>) -> Self {
        Self::new(name, Unit::PerSecond, need, limit, why)
    }

    /// How many times the plan's demand it bears; without end where nothing is needed.
    pub(crate) fn bears(&self) -> f64 {
        if self.need > 0.0 { self.limit / self.need } else { f64::INFINITY }
    }
}

/// The resources from the scarcest on, and a section about them.
pub(crate) fn section(mut resources: Vec<Resource>) -> (Section, Vec<Resource>) {
    resources.sort_by(|a, b| a.bears().total_cmp(&b.bears()));
    let mut section = Section::new("What breaks first: how many times this plan each bears");
    for resource in resources.iter().filter(|resource| resource.bears().is_finite()) {
        let why = format!(
            "{} of {} needed; {}",
            resource.unit.text(resource.limit),
            resource.unit.text(resource.need),
            resource.why
        );
        section.warn_if(
            resource.bears() < 1.0,
            resource.name.clone(),
            Unit::Times,
            Figure::computed(resource.bears(), why),
        );
    }
    let names = |least: f64, below: f64| -> Vec<String> {
        resources
            .iter()
            .filter(|resource| (least..below).contains(&resource.bears()))
            .map(|resource| format!("{} (at {})", resource.name, Unit::Times.text(resource.bears())))
            .collect()
    };
    let now = names(0.0, 1.0);
    if !now.is_empty() {
        section.note(format!("Not enough already for this plan: {}.", now.join(", ")));
    }
    let also = if now.is_empty() { "" } else { " also" };
    section.note(match names(1.0, 2.0).split_first() {
        None if now.is_empty() => "At twice this nothing breaks.".to_owned(),
        None => "At twice this nothing else breaks.".to_owned(),
        Some((first, [])) => format!("At twice this{also} breaks {first}, and nothing else."),
        Some((first, rest)) => format!("At twice this{also} breaks first {first}; then {}.", rest.join(", ")),
    });
    (section, resources)
}
