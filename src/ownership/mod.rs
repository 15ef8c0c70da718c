//! What this node has in hand, per shard.
