//! A wire that can be cut: a TCP proxy that stops carrying bytes while every
//! connection stays open, as when a network drops packets.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy in front of one server. Dropping it ends it and its connections.
pub struct Proxy {
    address: SocketAddr,
    cut: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Carries bytes to and from a server on 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cut, state) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, server, state));
        Ok(Self { address, cut, accepting })
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Carries nothing any more, or carries on with what has waited.
    pub fn set_cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: u16, state: watch::Receiver<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut state = state.clone();
        tokio::spawn(async move {
            // A new connection is opened only by those who get through.
            if state.wait_for(|cut| !cut).await.is_err() {
                return;
            }
            let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = upstream.into_split();
            tokio::select! {
                () = carry(from_client, to_server, state.clone()) => {}
                () = carry(from_server, to_client, state.clone()) => {}
            }
        });
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if state.wait_for(|cut| !cut).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
