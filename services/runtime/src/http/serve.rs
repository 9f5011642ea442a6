//! A server that a stranger cannot hold open: connections, heads, bodies and what nobody takes of
//! an answer are bounded in number and time, and shutdown drains what is under way.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::RequestBodyTimeoutLayer;

use super::paced::Paced;
use crate::patience::Patience;

/// Bytes a second that a client takes at least, where it takes long.
pub const RATE: u32 = 16 << 10;

/// Bounds on what a client may ask of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Time to send a request's head.
    pub head: Duration,
    /// Longest silence while sending a request's body.
    pub body: Duration,
    /// Longest time in which a client takes nothing of its answer. One that takes it more slowly
    /// than [`RATE`] has so much longer as what it takes is worth.
    pub unread: Duration,
    /// Time for requests under way at shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            unread: Duration::from_secs(30),
            drain: Duration::from_secs(25),
        }
    }
}

/// Binds a listener, with an error that names the address.
///
/// # Errors
/// When the address is taken or not of this machine.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|e| std::io::Error::new(e.kind(), format!("cannot listen on {address}: {e}")))
}

/// Serves `router` until `shutdown`, then lets requests under way finish.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: CancellationToken) {
    let router = router.layer(RequestBodyTimeoutLayer::new(limits.body));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    // HTTP/1 alone: telling the versions apart would wait for a client's first bytes without a limit.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head);

    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else { continue };
        let router = router.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let router = router.clone();
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            async move {
                Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {}))
            }
        });
        let stream = TokioIo::new(Paced::new(stream, Patience::new(limits.unread, RATE)));
        let connection = graceful.watch(builder.serve_connection(stream, service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way after {:?}; closing them", limits.drain);
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY was refused");
            }
            Some((stream, peer, slot))
        }
        Err(error) => {
            // Out of file descriptors, usually: give the others a moment to close.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::body::Body;
    use futures::stream;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
    };

    use super::*;

    /// A server within these limits, a client of it, and what stops it.
    async fn served(router: Router, limits: Limits) -> (TcpStream, impl AsyncFnOnce()) {
        let listener = bind("127.0.0.1:0".parse().expect("address")).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, router, limits, stop.clone()));
        let client = TcpStream::connect(address).await.expect("connect");
        let stop = async move || {
            stop.cancel();
            server.await.expect("server");
        };
        (client, stop)
    }

    async fn silent_after(sent: &[u8]) -> std::io::Result<usize> {
        let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
        let (mut client, stop) = served(Router::new(), limits).await;
        client.write_all(sent).await.expect("write");
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut answer)).await;
        stop().await;
        ended.expect("the connection is still open")
    }

    /// An answer without an end, which tells when nobody wants it any more.
    fn endless(gone: oneshot::Sender<()>) -> Router {
        struct Told(Option<oneshot::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let told = self.0.take().map(|gone| gone.send(()));
                assert_eq!(told, Some(Ok(())));
            }
        }
        let told = Arc::new(Mutex::new(Some(Told(Some(gone)))));
        let answer = move || {
            let told = told.lock().expect("lock").take();
            let chunks = stream::repeat_with(move || {
                let _told = &told;
                Ok::<_, Infallible>(vec![b'x'; 64 << 10])
            });
            async move { Body::from_stream(chunks) }
        };
        Router::new().route("/", axum::routing::get(answer))
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (gone, is_gone) = oneshot::channel();
        let limits = Limits { unread: Duration::from_millis(200), ..Limits::default() };
        let (mut client, stop) = served(endless(gone), limits).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
        let waited = tokio::time::timeout(Duration::from_secs(20), is_gone).await;
        waited.expect("the answer is still held").expect("told");
        stop().await;
    }

    #[tokio::test]
    async fn an_answer_that_is_read_goes_on() {
        let (gone, mut is_gone) = oneshot::channel();
        let limits = Limits { unread: Duration::from_secs(20), ..Limits::default() };
        let (mut client, stop) = served(endless(gone), limits).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
        let mut some = vec![0; 16 << 20];
        client.read_exact(&mut some).await.expect("read");
        assert!(is_gone.try_recv().is_err(), "it is still given");
        drop(client);
        is_gone.await.expect("told");
        stop().await;
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_closed() {
        assert_eq!(silent_after(b"").await.expect("end"), 0);
        assert!(silent_after(b"PRI * HT").await.is_ok());
        assert!(silent_after(b"GET / HTTP/1.1\r\nHost: a").await.is_ok());
    }
}
