//! `watchkeeper api`: the read path on its own.

use tokio_util::sync::CancellationToken;
use watchkeeper_analytics::Analytics;
use watchkeeper_api::{Api, ApiOptions, AuthConfig, router};
use watchkeeper_logger::health;
use watchkeeper_runtime::secret::Secret;

use crate::{
    cli::{ApiArgs, SignupArg},
    process::{Process, required_postgres},
};

pub async fn run(args: ApiArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let auth = AuthConfig { admin_token: Secret::from_file(&args.admin_token_file)?, open_overview: false };
    let options = required_postgres(args.process.database_ca.as_deref())?;
    let process = Process::start("api", args.process.metrics_listen, &options, &shutdown).await?;
    let store = process.store.clone();
    let options = ApiOptions {
        privacy_level: args.privacy.privacy_level,
        protect_docs: args.docs.protect_docs,
        documents: vec![watchkeeper_logger::openapi()],
        site: args.site.access()?,
        visit_idle: args.site.visit_idle(),
        ..args.pages.apply(ApiOptions::new(auth, args.access.signup() == SignupArg::Open))
    };
    // Checkers run elsewhere and look at the store by themselves.
    let analytics = Analytics::with_cache(store.clone(), args.analytics.analytics_cache_bytes);
    analytics.register(&process.registry)?;
    let api = Api::new(analytics, options, || {});
    process.serve(args.listen, router(api).merge(health(store)), shutdown).await?;
    process.finish().await;
    Ok(())
}
