//! A relay of TCP connections that can be cut and silenced.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections are closed, and new ones at once.
    Cut,
    /// Nothing passes, and nobody is told.
    Silent,
}

pub(super) struct Relay {
    address: String,
    mode: watch::Sender<Mode>,
}

impl Relay {
    pub(super) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (mode, modes) = watch::channel(Mode::Open);
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, target.clone(), modes.clone()));
            }
        });
        Self { address, mode }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    pub(super) fn silence(&self) {
        self.mode.send_replace(Mode::Silent);
    }

    pub(super) fn restore(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

async fn relay(mut client: TcpStream, target: String, mut modes: watch::Receiver<Mode>) {
    if *modes.borrow_and_update() != Mode::Cut
        && let Ok(mut server) = TcpStream::connect(target).await
    {
        let mode = *modes.borrow();
        let passed = async {
            if mode == Mode::Open {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = passed => {}
            _ = modes.changed() => {
                if *modes.borrow() == Mode::Silent {
                    // Held open, and silent, until that ends.
                    let _ = modes.wait_for(|mode| *mode != Mode::Silent).await;
                }
            }
        }
    }
    let _ = client.shutdown().await;
}
