//! What one process of a deployment does.

use std::fmt;
use std::str::FromStr;

/// The API takes requests in, the engine plans and sends; both by default, so that one process is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub api: bool,
    pub engine: bool,
}

impl Default for Roles {
    fn default() -> Self {
        Self { api: true, engine: true }
    }
}

impl FromStr for Roles {
    type Err = String;

    /// Reads `api`, `engine` or both, separated by a comma.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = Self { api: false, engine: false };
        for name in text.split(',').map(str::trim) {
            match name {
                "api" => roles.api = true,
                "engine" => roles.engine = true,
                other => return Err(format!("`{other}` is no role: use api, engine or api,engine")),
            }
        }
        Ok(roles)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.api, self.engine) {
            (true, true) => "api,engine",
            (true, false) => "api",
            (false, true) => "engine",
            (false, false) => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_from_a_list() {
        assert_eq!("api,engine".parse(), Ok(Roles::default()));
        assert_eq!("engine".parse(), Ok(Roles { api: false, engine: true }));
        assert!("".parse::<Roles>().is_err());
        assert!("api,web".parse::<Roles>().is_err());
    }
}
