/// The store in the embedded database.
#[derive(Debug)]
pub struct EmbeddedStore;
