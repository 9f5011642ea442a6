//! The PostgreSQL server of the test kit.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use watchkeeper_testkit::postgres::{Options, Postgres};

#[tokio::test]
async fn each_test_gets_an_empty_database_on_the_shared_server() {
    let server = Postgres::shared().unwrap();
    let (first, second) = (server.database().unwrap(), server.database().unwrap());
    assert_ne!(first, second);
    let mut connection = PgConnection::connect(&first).await.unwrap();
    sqlx::query("CREATE TABLE mark (id BIGINT)").execute(&mut connection).await.unwrap();
    let mut connection = PgConnection::connect(&second).await.unwrap();
    let row =
        sqlx::query("SELECT count(*) FROM pg_tables WHERE tablename = 'mark'").fetch_one(&mut connection);
    assert_eq!(row.await.unwrap().get::<i64, _>(0), 0);
    assert_eq!(server.psql(&first, "SHOW fsync").unwrap(), "on");
}

#[tokio::test]
async fn what_is_committed_outlives_kill_and_stop() {
    let server = Postgres::start(Options::default()).unwrap();
    let url = server.database().unwrap();
    server.psql(&url, "CREATE TABLE mark (id BIGINT); INSERT INTO mark VALUES (7)").unwrap();

    server.kill9().unwrap();
    PgConnection::connect(&url).await.unwrap_err();
    server.resume().unwrap();
    assert_eq!(server.psql(&url, "SELECT id FROM mark").unwrap(), "7");

    server.stop().unwrap();
    server.resume().unwrap();
    assert_eq!(server.psql(&url, "SELECT id FROM mark").unwrap(), "7");
}

#[tokio::test]
async fn a_frozen_server_keeps_connections_and_answers_after_the_thaw() {
    let server = Postgres::start(Options { fsync: false, ..Options::default() }).unwrap();
    let mut connection = PgConnection::connect(&server.database().unwrap()).await.unwrap();
    server.freeze().unwrap();
    let mut answer = Box::pin(sqlx::query("SELECT 1").execute(&mut connection));
    tokio::time::timeout(Duration::from_millis(300), &mut answer).await.unwrap_err();
    server.thaw().unwrap();
    tokio::time::timeout(Duration::from_secs(10), answer).await.unwrap().unwrap();
}
