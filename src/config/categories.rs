//! What kinds of messages there are, as far as a user's preferences need it.

/// What is known of a category.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CategoryRules {
    /// Whether users may say that they do not want it.
    pub may_switch_off: bool,
}

/// The categories that are configured.
pub trait Categories: Send + Sync + 'static {
    /// `None`: there is no such category.
    fn get(&self, name: &str) -> Option<CategoryRules>;

    /// All names, for messages about unknown ones.
    fn names(&self) -> Vec<&str>;
}

/// Those that are there without a word in the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShippedCategories;

/// By name: whether users may switch it off.
const SHIPPED: [(&str, bool); 6] = [
    ("transactional", false),
    ("security", false),
    ("social", true),
    ("marketing", true),
    ("reminder", true),
    ("system", false),
];

impl Categories for ShippedCategories {
    fn get(&self, name: &str) -> Option<CategoryRules> {
        let found = SHIPPED.iter().find(|(known, _)| *known == name);
        found.map(|(_, may_switch_off)| CategoryRules { may_switch_off: *may_switch_off })
    }

    fn names(&self) -> Vec<&str> {
        SHIPPED.iter().map(|(name, _)| *name).collect()
    }
}
