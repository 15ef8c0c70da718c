//! `data` and `metadata`: kept as the text that came, and read through once, so that whoever parses them later cannot
//! fail: not at a number without a double, not at half of a surrogate pair, not at ten thousand levels.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Problems, limits};

/// The text of the object; `{}` where there is none or where it is wrong.
pub(super) fn object(pointer: &'static str, raw: Option<&RawValue>, problems: &mut Problems) -> Box<str> {
    let Some(raw) = raw else { return "{}".into() };
    let text = raw.get();
    if text == "{}" {
        return text.into();
    }
    if !text.starts_with('{') {
        problems.add(pointer, "must be an object");
        return "{}".into();
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    if let Err(error) = (Level { left: limits::JSON_DEPTH_MAX }).deserialize(&mut reader) {
        problems.add(pointer, plain(&error));
        return "{}".into();
    }
    text.into()
}

/// serde_json's message without its place, which is counted from the start of the object and would mislead.
pub(super) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map(|(message, _)| message.to_owned()).unwrap_or(text)
}

/// Reads one value and keeps nothing of it; objects and lists may be nested `left` times.
#[derive(Clone, Copy)]
struct Level {
    left: usize,
}

impl Level {
    fn inner<E: de::Error>(self) -> Result<Level, E> {
        let left = self.left.checked_sub(1);
        left.map(|left| Level { left }).ok_or_else(|| {
            E::custom(format_args!("objects and lists are nested more than {} deep", limits::JSON_DEPTH_MAX))
        })
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        // A key is a text, whatever level it stands at.
        while entries.next_key_seed(Level { left: 0 })?.is_some() {
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}
