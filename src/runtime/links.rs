//! The secret that signs links in messages: from the configuration, or a file that a node which is alone makes for itself.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::peers::random_hex;
use crate::config::{Config, Secret};
use crate::links::{Links, ShortSecret};

/// Beside the data of the embedded store, which it must go with wherever that goes.
const FILE: &str = "link_secret";
/// Twice as many characters.
const SECRET_BYTES: usize = 32;

/// `None`: nodes share the work, and no secret says how they all sign.
pub(super) fn links(config: &Config, is_shared: bool) -> anyhow::Result<Option<Arc<Links>>> {
    let secret = match &config.security.link_secret {
        Some(secret) => secret.clone(),
        None if is_shared => {
            tracing::warn!(
                "mails carry no unsubscribe link, and users' programs get no tokens: set `security.link_secret`, the same on all nodes"
            );
            return Ok(None);
        }
        None => own_secret(&config.store.embedded.data_dir)?,
    };
    let links = signed_with(config, &secret);
    Ok(Some(Arc::new(links.context("`security.link_secret` and `security.old_link_secrets`")?)))
}

/// Whether links can be signed with the secrets that are configured; `None`: none is.
pub(super) fn check(config: &Config) -> Option<Result<(), ShortSecret>> {
    let secret = config.security.link_secret.as_ref()?;
    Some(signed_with(config, secret).map(drop))
}

fn signed_with(config: &Config, secret: &Secret) -> Result<Links, ShortSecret> {
    Links::new(&config.http.public_url, secret, &config.security.old_link_secrets)
}

fn own_secret(dir: &Path) -> anyhow::Result<Secret> {
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(secret) => return Ok(Secret::new(secret.trim_end())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
    let secret = random_hex(SECRET_BYTES)?;
    // Whole or not at all: half a secret would be taken for one at the next start.
    let draft = dir.join(format!("{FILE}.new"));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        writeln!(file, "{secret}")?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        fs::File::open(dir)?.sync_all()
    };
    write().with_context(|| format!("cannot write `{}`: may this process write there?", path.display()))?;
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config;
    use crate::domain::{Channel, Position, Priority, ShardId, TaskId};
    use crate::links::{Unsubscribe, Whom};

    fn link(links: &Links) -> String {
        let shard = ShardId { generation: 0, lane: Priority::Low, partition: 0 };
        let task = TaskId { position: Position::new(shard, 1), ordinal: 0 };
        let (tenant, whom, category) = ("default".into(), Whom::User("alice".into()), "marketing".into());
        let said = Unsubscribe { tenant, whom, category, channel: Channel::Email, task };
        links.unsubscribe(&said).expect("short enough")
    }

    #[test]
    fn a_node_that_is_alone_makes_its_secret_once_and_for_itself_only() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = config::defaults();
        config.store.embedded.data_dir = dir.path().to_owned();
        let first = links(&config, false).expect("it can be written").expect("there is one");
        let again = links(&config, false).expect("it can be read").expect("there is one");
        assert_eq!(link(&first), link(&again));
        let mode = fs::metadata(dir.path().join(FILE)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(links(&config, true).expect("nothing is read").is_none(), "others would sign with another");
        config.security.link_secret = Some(Secret::new("0123456789abcdef0123456789abcdef"));
        assert!(links(&config, true).expect("it is long enough").is_some());
        config.security.link_secret = Some(Secret::new("short"));
        assert!(links(&config, true).is_err());
    }
}
