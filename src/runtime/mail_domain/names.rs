//! What is asked of name servers.

use std::time::Duration;

use async_trait::async_trait;
use mail_auth::hickory_resolver::config::ResolveHosts;
use mail_auth::hickory_resolver::name_server::TokioConnectionProvider;
use mail_auth::hickory_resolver::proto::op::ResponseCode;
use mail_auth::hickory_resolver::proto::{ProtoError, ProtoErrorKind};
use mail_auth::hickory_resolver::system_conf::read_system_conf;
use mail_auth::hickory_resolver::{Name, TokioResolver};

/// The records of a name; none is an empty list, and an error that nobody answered, in one line.
#[async_trait]
pub(super) trait Records: Send + Sync {
    /// Its TXT records, the pieces of each put together.
    async fn texts(&self, name: &str) -> Result<Vec<String>, String>;

    /// The hosts of its MX records.
    async fn exchanges(&self, name: &str) -> Result<Vec<String>, String>;
}

/// The name servers that the system is set up with.
pub(super) struct SystemNames(TokioResolver);

/// The longest that one question may take, with all its tries.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// For one try.
const TRY_MAX: Duration = Duration::from_secs(3);

impl SystemNames {
    pub(super) fn new() -> Result<Self, String> {
        let (config, mut options) =
            read_system_conf().map_err(|_| "the system names no name servers: see /etc/resolv.conf".to_owned())?;
        (options.timeout, options.attempts) = (TRY_MAX, 2);
        options.use_hosts_file = ResolveHosts::Never;
        let builder = TokioResolver::builder_with_config(config, TokioConnectionProvider::default());
        Ok(Self(builder.with_options(options).build()))
    }
}

#[async_trait]
impl Records for SystemNames {
    async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let asked = tokio::time::timeout(WAIT_MAX, self.0.txt_lookup(whole(name)?)).await;
        let Some(found) = answered(name, asked.map_err(|_| ()))? else { return Ok(Vec::new()) };
        let text = |pieces: &[Box<[u8]>]| String::from_utf8_lossy(&pieces.concat()).into_owned();
        Ok(found.iter().map(|record| text(record.txt_data())).collect())
    }

    async fn exchanges(&self, name: &str) -> Result<Vec<String>, String> {
        let asked = tokio::time::timeout(WAIT_MAX, self.0.mx_lookup(whole(name)?)).await;
        let Some(found) = answered(name, asked.map_err(|_| ()))? else { return Ok(Vec::new()) };
        Ok(found.iter().map(|record| record.exchange().to_string()).collect())
    }
}

/// With a dot at its end, so that the system's search list is left out.
fn whole(name: &str) -> Result<Name, String> {
    let whole = format!("{}.", name.trim_end_matches('.'));
    Name::from_str_relaxed(&whole).map_err(|_| format!("`{name}` is no name that could be asked for"))
}

fn answered<T>(name: &str, asked: Result<Result<T, ProtoError>, ()>) -> Result<Option<T>, String> {
    let no_answer = || format!("no answer from the name servers for {name}: try again, or see /etc/resolv.conf");
    match asked {
        Ok(Ok(found)) => Ok(Some(found)),
        Ok(Err(error)) => match error.kind() {
            ProtoErrorKind::NoRecordsFound(none)
                if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
            {
                Ok(None)
            }
            _ => Err(no_answer()),
        },
        Err(()) => Err(no_answer()),
    }
}
