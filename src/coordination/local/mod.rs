/// Coordination within one process.
#[derive(Debug)]
pub struct LocalCoordination;
