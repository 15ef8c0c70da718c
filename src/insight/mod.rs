//! The books and the stories.
