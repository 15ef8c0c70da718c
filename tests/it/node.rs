//! The node as a whole: that it starts, or says why not.

use std::net::TcpListener;

use fanfare::config::{self, Roles};
use fanfare::runtime;

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_an_error_in_words() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config::defaults();
    config.http.listen = other.local_addr().expect("bound");
    config.store.embedded.data_dir = dir.path().into();
    let error = runtime::run(config, Roles::default()).await.expect_err("the port is taken");
    let reason = format!("{error:#}");
    assert!(reason.contains(&format!("cannot listen on {}", other.local_addr().expect("bound"))), "{reason}");
}
