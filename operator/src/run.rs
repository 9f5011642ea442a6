//! Puts the parts together and runs them until told to stop.

use std::str::FromStr;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::runtime::reflector;
use kube::{Api, Client, Resource};
use tokio::sync::{mpsc, watch as flag};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use watchkeeper_crds::discovery::Source;
use watchkeeper_crds::{AnalyticsInstance, MonitoredEndpoint};

use crate::admissions::{self, Admissions};
use crate::analytics_instance::applied::Applied;
use crate::analytics_instance::objectives;
use crate::context::{Context, Settings};
use crate::discovery::Discovery;
use crate::discovery::controller::{self as looks, Look};
use crate::events::Events;
use crate::foreign::HTTPRoute;
use crate::gate::{Deadline, Gate};
use crate::health::Health;
use crate::lease::{self, LeaseOptions};
use crate::metrics::Metrics;
use crate::monitored_endpoint::link::Links;
use crate::retry::Retries;
use crate::served::{self, ServedKinds};
use crate::status_patch::Written;
use crate::stores::{Guarded, InstanceKey, Stores};
use crate::watch::{self, News, Reporting};
use crate::{analytics_instance, monitored_endpoint};

/// Which namespaces are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those named.
    List(Vec<String>),
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "all" {
            return Ok(Self::All);
        }
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err("write `all` or namespaces separated by commas".to_owned());
        }
        Ok(Self::List(names))
    }
}

/// One watched part of the cluster.
#[derive(Debug, Clone)]
pub struct Place(Option<String>);

impl Place {
    /// The API of a kind in this part.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.0 {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }

    /// Whether a namespace is in this part.
    #[must_use]
    pub fn holds(&self, namespace: &str) -> bool {
        self.0.as_deref().is_none_or(|own| own == namespace)
    }

    fn name(&self) -> String {
        self.0.clone().unwrap_or_else(|| "all namespaces".to_owned())
    }
}

impl Scope {
    fn places(&self) -> Vec<Place> {
        match self {
            Self::All => vec![Place(None)],
            Self::List(names) => names.iter().map(|name| Place(Some(name.clone()))).collect(),
        }
    }
}

/// What the operator does and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which namespaces are served.
    pub scope: Scope,
    /// How a leader is found; without, this process always leads.
    pub lease: Option<LeaseOptions>,
    /// Everything else.
    pub settings: Settings,
}

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No HTTP client can be made.
    #[error("no HTTP client can be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// Runs both controllers until told to stop; then lets reconciles under way come to
/// their end and gives the Lease back.
///
/// # Errors
/// [`RunError`] when it cannot begin.
pub async fn run(
    client: Client,
    options: Options,
    metrics: Arc<Metrics>,
    health: Health,
    stop: CancellationToken,
) -> Result<(), RunError> {
    crate::telemetry::install_crypto();
    let (leading, flag) = flag::channel(options.lease.is_none());
    let deadline = Deadline::default();
    let gate = Gate::new(flag, deadline.clone());
    let (instance_news, mut instance_news_out) = mpsc::unbounded_channel();
    let (objective_news, mut objective_news_out) = mpsc::unbounded_channel();
    let mut instance_parts = Vec::new();
    let mut endpoint_parts = Vec::new();
    let mut stores = Stores::new(options.settings.patience);
    for place in options.scope.places() {
        let (reader, writer) = reflector::store();
        stores.instances.push(reader.clone());
        instance_parts.push((place.clone(), reader, writer));
        let (reader, writer) = reflector::store();
        stores.endpoints.push(reader.clone());
        endpoint_parts.push((place, reader, writer));
    }
    let links = Arc::new(Links::new(options.settings.clone(), stores.clone(), metrics.clone())?);
    let (found, kinds) = ServedKinds::new();
    let looking =
        served::run(client.clone(), options.settings.served_refresh, found, health.clone(), stop.clone());
    let context = Arc::new(Context {
        events: Events::new(client.clone(), gate.clone()),
        client,
        gate: gate.clone(),
        metrics: metrics.clone(),
        settings: options.settings,
        served: kinds,
        discovery: Discovery::default(),
        admissions: Admissions::default(),
        stores,
        applied: Applied::default(),
        written: Written::default(),
        retries: Retries::default(),
        links: links.clone(),
    });

    let mut tasks = JoinSet::new();
    tasks.spawn(looking);
    for (place, reader, writer) in instance_parts {
        let reporting = Reporting { health: health.clone(), metrics: metrics.clone(), place: place.name() };
        let stream = watch::primary::<AnalyticsInstance>(
            place.api(&context.client),
            writer,
            reporting.clone(),
            News { about: InstanceKey::of, essence: watch::version, changed: instance_news.clone() },
        );
        tasks.spawn(analytics_instance::controller::run(
            place,
            stream,
            reader,
            reporting,
            context.clone(),
            stop.clone(),
        ));
    }
    // Every endpoint controller hears of every instance; each looks in its own store.
    let (news, _) = tokio::sync::broadcast::channel(1_024);
    for (place, reader, writer) in endpoint_parts {
        let reporting = Reporting {
            health: health.clone(),
            metrics: metrics.clone(),
            place: format!("{}, for endpoints", place.name()),
        };
        let about = |object: &Guarded<MonitoredEndpoint>| match &object.0 {
            Ok(endpoint) => InstanceKey::referred(endpoint),
            Err(_) => InstanceKey::of(object),
        };
        let stream = watch::primary::<MonitoredEndpoint>(
            place.api(&context.client),
            writer,
            reporting.clone(),
            News { about, essence: objectives::essence, changed: objective_news.clone() },
        );
        tasks.spawn(monitored_endpoint::controller::run(
            place,
            stream,
            reader,
            reporting,
            context.clone(),
            news.subscribe(),
            stop.clone(),
        ));
    }
    for place in options.scope.places() {
        let reporting = Reporting {
            health: health.clone(),
            metrics: metrics.clone(),
            place: format!("{}, for discovery", place.name()),
        };
        for source in Source::ALL {
            let look = Look { source, place: place.clone(), reporting: reporting.clone() };
            let (context, news, stop) = (context.clone(), news.clone(), stop.clone());
            match source {
                Source::Ingress => tasks.spawn(looks::run::<Ingress>(look, context, news, stop)),
                Source::HttpRoute => tasks.spawn(looks::run::<HTTPRoute>(look, context, news, stop)),
                Source::Service => tasks.spawn(looks::run::<Service>(look, context, news, stop)),
            };
        }
    }
    tasks.spawn(admissions::run(context.clone(), news.clone(), stop.clone()));
    let (shared, conditions) = (Arc::downgrade(&context), metrics.clone());
    tasks.spawn(async move {
        while let Some(key) = instance_news_out.recv().await {
            let Some(context) = shared.upgrade() else {
                return;
            };
            if !context.stores.knows(&key) {
                conditions.forget_instance(&key);
                context.applied.forget(&key);
                context.discovery.forget(&key);
            }
            context.discovery.reconsider(&context.stores);
            // An error means that no endpoint controller runs any more.
            let _ = news.send(key);
        }
    });
    let recounted = links.clone();
    tasks.spawn(async move {
        while let Some(key) = objective_news_out.recv().await {
            recounted.recount(&key);
        }
    });
    tasks.spawn(links.run(context.clone(), stop.clone()));
    tasks.spawn(follow(gate, metrics, stop.clone()));

    let lease_stop = CancellationToken::new();
    let election = options
        .lease
        .map(|lease| {
            lease::elect(context.client.clone(), lease, leading.clone(), deadline, lease_stop.clone())
        })
        // Whoever drops this future ends the election too.
        .map(|election| AbortOnDropHandle::new(tokio::spawn(election)));
    stop.cancelled().await;
    drop((instance_news, objective_news));
    drop(context);
    // Only when no reconcile is under way any more may another process begin.
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.is_err() {
        tracing::warn!("some reconciles did not end in time");
        tasks.shutdown().await;
    }
    lease_stop.cancel();
    if let Some(election) = election {
        let _ = election.await;
    }
    drop(leading);
    Ok(())
}

/// Shows in the metrics whether this process leads.
async fn follow(gate: Gate, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut flag = gate.subscribe();
    loop {
        let leads = *flag.borrow_and_update();
        metrics.leader.set(i64::from(leads));
        if !leads {
            // How they are is for the leader to say.
            metrics.instance_condition.reset();
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = flag.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_all_or_a_list_of_names() {
        assert_eq!("all".parse(), Ok(Scope::All));
        assert_eq!("a,b".parse(), Ok(Scope::List(vec!["a".into(), "b".into()])));
        assert!("a,,b".parse::<Scope>().is_err());
        assert!("".parse::<Scope>().is_err());
    }
}
