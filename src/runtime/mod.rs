//! Builds and runs the tree.
