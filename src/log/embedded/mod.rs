/// The log in the embedded database.
#[derive(Debug)]
pub struct EmbeddedLog;
