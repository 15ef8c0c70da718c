//! A relay of TCP connections that can be cut, silenced and slowed down.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections are closed, and new ones at once.
    Cut,
    /// Nothing passes, and nobody is told.
    Silent,
    /// Every answer comes so much later; of connections that begin from now on.
    Slow(Duration),
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

    pub(super) fn slow_down(&self, by: Duration) {
        self.mode.send_replace(Mode::Slow(by));
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
            match mode {
                Mode::Open => drop(tokio::io::copy_bidirectional(&mut client, &mut server).await),
                Mode::Slow(by) => drop(copy_slowly(&mut client, &mut server, by).await),
                Mode::Cut | Mode::Silent => std::future::pending().await,
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

async fn copy_slowly(client: &mut TcpStream, server: &mut TcpStream, by: Duration) -> std::io::Result<()> {
    let ((mut asked, mut asker), (mut answers, mut answering)) = (client.split(), server.split());
    let back = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let count = answers.read(&mut bytes).await?;
            if count == 0 {
                return Ok(());
            }
            tokio::time::sleep(by).await;
            asker.write_all(&bytes[..count]).await?;
        }
    };
    tokio::select! {
        ended = back => ended,
        ended = tokio::io::copy(&mut asked, &mut answering) => ended.map(drop),
    }
}
