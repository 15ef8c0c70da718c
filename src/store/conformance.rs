//! What every backend of this port must do; run against each of them.
