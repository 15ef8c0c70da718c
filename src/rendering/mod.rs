//! Templates and data become the parts of a message.
