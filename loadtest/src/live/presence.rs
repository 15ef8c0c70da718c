//! Whether users are online, as the API says it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::people;
use crate::http_client::{Client, Server};

const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
struct Presence {
    online: bool,
}

/// Of users that were asked about, until all were as they are to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Looked {
    pub(super) asked: usize,
    /// So many were in the end.
    pub(super) right: usize,
    /// When the first and the last of these were found so.
    pub(super) first_seconds: Option<f64>,
    pub(super) last_seconds: Option<f64>,
}

impl Looked {
    pub(super) fn is_right(&self) -> bool {
        self.right == self.asked
    }
}

/// Asks about these users again and again, until each is online, or offline; not longer than `max` since `began`.
pub(super) async fn until(
    server: &Server,
    mut users: Vec<u32>,
    online: bool,
    began: Instant,
    max: Duration,
) -> Result<Looked> {
    let mut client = Client::new(server);
    let mut looked = Looked { asked: users.len(), right: 0, first_seconds: None, last_seconds: None };
    loop {
        let mut others = Vec::new();
        for user in users {
            match look(&mut client, server, user).await {
                Ok(found) if found == online => {
                    let seconds = began.elapsed().as_secs_f64();
                    looked.right += 1;
                    looked.first_seconds.get_or_insert(seconds);
                    looked.last_seconds = Some(seconds);
                }
                // A node that is not there is asked again.
                _ => others.push(user),
            }
        }
        if others.is_empty() || began.elapsed() > max {
            return Ok(looked);
        }
        users = others;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(client: &mut Client, server: &Server, user: u32) -> Result<bool> {
    let path = format!("/v1/users/{}/presence", people::name(user));
    let body = client.fetch(server, &path).await?;
    let presence: Presence = serde_json::from_slice(&body).context("cannot read the answer about presence")?;
    Ok(presence.online)
}
