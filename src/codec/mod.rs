//! Bytes to domain and back, for rows and records.
