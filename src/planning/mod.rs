//! A batch of requests becomes plans.
