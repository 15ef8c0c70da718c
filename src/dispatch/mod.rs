//! Ready tasks reach providers.
