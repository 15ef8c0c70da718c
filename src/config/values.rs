//! Values with units and values to be kept quiet.

use std::fmt;

use serde::Deserialize;

/// A number of bytes, written `"256 KiB"`, `"64 MiB"`, `"1 GiB"` or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// The size as a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().ok()?;
        let unit = match text[digits..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        number.checked_mul(unit).map(Self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => Self::parse(&text).ok_or_else(|| {
                serde::de::Error::custom(format!("`{text}` is no size: write it as \"64 MiB\" (B, KiB, MiB, GiB, TiB)"))
            }),
        }
    }
}

/// A text that must not be seen: it has no `Display`, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct InFile {
            file: std::path::PathBuf,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct InVariable {
            env: String,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Text(String),
            File(InFile),
            Variable(InVariable),
        }
        let error = <D::Error as serde::de::Error>::custom;
        match Given::deserialize(deserializer) {
            Ok(Given::Text(text)) => Ok(Self(text)),
            Ok(Given::File(InFile { file })) => match std::fs::read_to_string(&file) {
                // Editors end files with a line break, and no secret does.
                Ok(text) => Ok(Self(text.trim_end().to_owned())),
                Err(cause) => Err(error(format!("the secret in `{}` cannot be read: {cause}", file.display()))),
            },
            Ok(Given::Variable(InVariable { env })) => match std::env::var(&env) {
                Ok(text) => Ok(Self(text)),
                Err(_) => Err(error(format!("the secret's variable `{env}` is not set"))),
            },
            // The usual message would show the value.
            Err(_) => Err(error(
                "a secret must be a text in quotes, { file = \"/run/secrets/name\" } or { env = \"NAME\" }".to_owned(),
            )),
        }
    }
}
