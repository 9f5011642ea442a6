//! The delivery of notices beside the checker, and `watchkeeper notify`.

use std::io::Write;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use watchkeeper_notifier::{NotifierError, NotifierOptions};
use watchkeeper_store::Store;

use crate::{
    cli::{NotifyArgs, NotifyKind, NotifyTestArgs},
    local::DataDirectory,
    process::{Process, postgres_from_env},
};

/// Sends what waits in the outbox until `shutdown`.
pub fn deliver(
    process: &Process,
    shutdown: CancellationToken,
) -> impl Future<Output = Result<(), NotifierError>> + Send + use<> {
    let (store, registry) = (process.store.clone(), process.registry.clone());
    watchkeeper_notifier::run(store, registry, NotifierOptions::default(), shutdown)
}

pub async fn run(args: NotifyArgs) -> anyhow::Result<()> {
    match args.what {
        NotifyKind::Test(args) => test(args).await,
    }
}

async fn test(args: NotifyTestArgs) -> anyhow::Result<()> {
    let (options, _lock) = match postgres_from_env(args.store.database_ca.as_deref())? {
        Some(postgres) => (postgres, None),
        None => {
            let data = DataDirectory::open(&args.store.data)
                .context("ask a running `watchkeeper local` instead: POST /api/v1/channels/NAME/test")?;
            (data.sqlite(), Some(data))
        }
    };
    let store = Store::open(&options).await.context("cannot open the store")?;
    let tested = watchkeeper_notifier::test(&store, &args.channel).await;
    store.close().await;
    tested?;
    writeln!(std::io::stdout(), "The channel {} took the test.", args.channel)?;
    Ok(())
}
