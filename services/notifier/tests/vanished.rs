//! A database that vanishes without a word, in the middle of a question.
#![allow(clippy::unwrap_used)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus::Registry;
use serde_json::json;
use sqlx::Connection;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use watchkeeper_notifier::{NotifierOptions, run};
use watchkeeper_store::{Options, Store, alerts::Channel};
use watchkeeper_testkit::{postgres::Postgres, sink::HttpSink, wait};

/// A way to a server that can be cut: what is connected then hears nothing any more,
/// not even an end, and the server takes its side for closed.
struct Way {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
}

impl Way {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&cuts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&seen)));
            }
        });
        Self { address, cuts }
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, cuts: Arc<AtomicUsize>) {
    let born = cuts.load(Ordering::SeqCst);
    let passing = tokio::io::copy_bidirectional(&mut client, &mut server);
    let cut = async {
        while cuts.load(Ordering::SeqCst) == born {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = passing => return,
        () = cut => {}
    }
    drop(server);
    // Takes what comes and says nothing.
    let mut buffer = [0; 1_024];
    while client.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_the_database_never_answers_holds_up_no_channel() {
    let postgres = Postgres::shared().unwrap();
    let url = postgres.database().unwrap();
    let way = Way::to(postgres.port()).await;
    let through = url.replace(&format!(":{}/", postgres.port()), &format!(":{}/", way.address.port()));
    let mut options = Options::postgres(&through, None).unwrap();
    options.acquire_timeout = Duration::from_secs(1);
    let store = Store::open(&options).await.unwrap();
    let sink = HttpSink::start().unwrap();
    let config = json!({"name": "c", "webhook": {"url": {"value": sink.url()}}});
    let channel = Channel::new("c", "webhook", config);
    store.put_channels(&[channel]).await.unwrap();

    // Whoever claims waits for the turn that somebody else has.
    let mut other = sqlx::AnyConnection::connect(&url).await.unwrap();
    let turn = "SELECT CAST(pg_advisory_lock(hashtext('watchkeeper notices')) AS TEXT)";
    sqlx::query(turn).execute(&mut other).await.unwrap();
    store.enqueue_test("c").await.unwrap();
    let stop = CancellationToken::new();
    let options = NotifierOptions {
        poll: Duration::from_millis(50),
        answer: Duration::from_secs(2),
        ..NotifierOptions::default()
    };
    let notifier = tokio::spawn(run(store, Registry::new(), options, stop.clone()));
    let waiting = "SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                   WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted";
    let claims = async || Ok((postgres.psql(&url, waiting)?.trim() == "1").then_some(()));
    wait::until_async("it claims", Duration::from_secs(20), claims).await.unwrap();
    way.cut();
    other.close().await.unwrap();

    let told = async || Ok((sink.taken().len() == 1).then_some(()));
    wait::until_async("the notice is sent", Duration::from_secs(30), told).await.unwrap();
    stop.cancel();
    notifier.await.unwrap().unwrap();
}
