//! The limits of a request, each with its reason. They bound rows and headers, not ambitions: a body is bounded as a whole
//! by `http.max_body` before any of these is looked at.

/// A user's id stands in keys of the store.
pub const USER_ID_BYTES_MAX: usize = 256;
/// As much of an unknown category as is said back; those that are known are no longer.
pub const CATEGORY_BYTES_MAX: usize = 64;
/// Stands in a hash only; bounded so that nobody puts a document there.
pub const DEDUP_KEY_BYTES_MAX: usize = 256;
/// As of a `dedup_key`.
pub const AGGREGATE_KEY_BYTES_MAX: usize = 256;
/// A name as people write it; every one of a group is kept.
pub const ACTOR_BYTES_MAX: usize = 256;
/// A week, as of the window for duplicates.
pub const AGGREGATE_WINDOW_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;
/// The name of a provider, at most 64, and a name within it.
pub const CHAT_BYTES_MAX: usize = 256;
/// What APNs takes in `apns-collapse-id`, the narrowest of them.
pub const COLLAPSE_KEY_BYTES_MAX: usize = 64;
/// More is a directory, which is better linked to.
pub const ATTACHMENTS_MAX: usize = 10;
/// What file systems take as a name.
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 255;
/// RFC 6838, 4.2: two names of 127 characters, and what stands behind them.
pub const MEDIA_TYPE_BYTES_MAX: usize = 255;
/// One line of a mail's head may have 998 bytes (RFC 5322, 2.1.1); longer ones would be folded.
pub const TITLE_BYTES_MAX: usize = 998;
/// A body or its HTML; Gmail cuts a mail's HTML off at about 102 KB.
pub const PART_BYTES_MAX: usize = 200 * 1024;
/// The longest text that Twilio takes has 1,600 characters; a template may be longer than what it makes.
pub const SMS_BYTES_MAX: usize = 8 * 1024;
/// RFC 5321, 4.5.3.1.3: a path has at most 256 octets, two of them the angle brackets.
pub const EMAIL_BYTES_MAX: usize = 254;
/// RFC 5321, 4.5.3.1.1.
pub const EMAIL_LOCAL_BYTES_MAX: usize = 64;
/// RFC 1035, 2.3.4.
pub const DOMAIN_BYTES_MAX: usize = 253;
/// RFC 1035, 2.3.4.
pub const DOMAIN_LABEL_BYTES_MAX: usize = 63;
/// ITU-T E.164, 6.1: a number has at most 15 digits; the shortest in use have 7 with the country code.
pub const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Longer than any push token in use: those of web push carry a URL and two keys.
pub const PUSH_TOKEN_BYTES_MAX: usize = 4096;
/// What proxies and servers commonly take in a request line (RFC 9110, 4.1 asks for 8,000 at least).
pub const URL_BYTES_MAX: usize = 2048;
/// Twice the channels there are, rounded up: more is a mistake. Also bounded by the tasks of a plan.
pub const CHANNELS_MAX: usize = crate::domain::TASKS_MAX;
/// A year: timers further ahead are more likely a mistake in the unit.
pub const AHEAD_SECONDS_MAX: u64 = 365 * 24 * 60 * 60;
/// A week: how long claims are worth keeping.
pub const DEDUP_WINDOW_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;
/// Levels of objects and lists in `data` and `metadata`; whatever reads them later does so by recursion.
pub const JSON_DEPTH_MAX: usize = 64;
/// Items of one batch.
pub const BATCH_ITEMS_MAX: usize = 10_000;
/// Bytes of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
