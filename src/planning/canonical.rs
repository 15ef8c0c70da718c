//! JSON by its meaning: neither spaces nor the order of an object's fields count.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A hash that is the same for all texts of one JSON value. Text that is no JSON is hashed as it stands.
pub(super) fn hash(json: &str) -> u128 {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = Hashed.deserialize(&mut deserializer);
    match value.and_then(|hash| deserializer.end().map(|()| hash)) {
        Ok(hash) => hash,
        Err(_) => xxh3_128_with_seed(json.as_bytes(), Kind::Raw as u64),
    }
}

/// Seeds the hash, so that values of two kinds never have the same bytes.
#[derive(Clone, Copy)]
enum Kind {
    Raw,
    Null,
    Bool,
    Natural,
    Negative,
    Float,
    Text,
    Array,
    Object,
}

fn leaf(kind: Kind, bytes: &[u8]) -> u128 {
    xxh3_128_with_seed(bytes, kind as u64)
}

fn pair(kind: Kind, first: u128, second: u128) -> u128 {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&first.to_le_bytes());
    bytes[16..].copy_from_slice(&second.to_le_bytes());
    leaf(kind, &bytes)
}

/// Hashes while parsing, so that nothing is built; serde_json bounds the depth (128).
struct Hashed;

impl<'de> DeserializeSeed<'de> for Hashed {
    type Value = u128;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u128, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Hashed {
    type Value = u128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<u128, E> {
        Ok(leaf(Kind::Null, &[]))
    }

    fn visit_bool<E>(self, value: bool) -> Result<u128, E> {
        Ok(leaf(Kind::Bool, &[u8::from(value)]))
    }

    fn visit_u64<E>(self, value: u64) -> Result<u128, E> {
        Ok(leaf(Kind::Natural, &value.to_le_bytes()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u128, E> {
        Ok(leaf(Kind::Negative, &value.to_le_bytes()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<u128, E> {
        Ok(leaf(Kind::Float, &value.to_le_bytes()))
    }

    fn visit_str<E>(self, value: &str) -> Result<u128, E> {
        Ok(leaf(Kind::Text, value.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u128, A::Error> {
        let mut hash = 0;
        while let Some(item) = items.next_element_seed(Hashed)? {
            hash = pair(Kind::Array, hash, item);
        }
        Ok(pair(Kind::Array, hash, 0))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<u128, A::Error> {
        // A sum does not depend on the order of the fields.
        let mut sum: u128 = 0;
        while let Some(name) = fields.next_key_seed(Hashed)? {
            let value = fields.next_value_seed(Hashed)?;
            sum = sum.wrapping_add(pair(Kind::Object, name, value));
        }
        Ok(pair(Kind::Object, sum, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_the_order_of_fields_do_not_count() {
        let value = hash(r#"{"a":1,"b":{"c":[true,null,"x"],"d":-2.5}}"#);
        assert_eq!(hash(r#" { "b" : {"d":-2.5, "c":[true, null, "x"]}, "a": 1 } "#), value);
        assert_eq!(hash(r#"{"\u0061":1,"b":{"c":[true,null,"x"],"d":-2.50}}"#), value);
    }

    #[test]
    fn every_other_difference_counts() {
        let texts = [
            r#"{}"#,
            r#"[]"#,
            r#"{"a":1}"#,
            r#"{"a":-1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":true}"#,
            r#"{"a":null}"#,
            r#"{"a":[]}"#,
            r#"{"a":[[]]}"#,
            r#"{"a":{}}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":{"b":2}}"#,
            "not json",
            "",
        ];
        for (index, one) in texts.iter().enumerate() {
            for other in &texts[index + 1..] {
                assert_ne!(hash(one), hash(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn text_nested_beyond_all_measure_is_hashed_as_it_stands() {
        let deep = "[".repeat(100_000);
        assert_eq!(hash(&deep), hash(&deep));
    }
}
