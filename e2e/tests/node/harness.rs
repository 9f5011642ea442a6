//! What the tests share: a cluster with the operator installed by its chart, a namespace for each
//! test, and short ways to say things.

use std::net::SocketAddr;
use std::ops::Deref;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use watchkeeper_crds::{AnalyticsInstance, MonitoredEndpoint};
use watchkeeper_e2e::load::{Account, Fate, Load};
use watchkeeper_e2e::upstream::Upstream;
use watchkeeper_testkit::cluster::{Cluster, image};
use watchkeeper_testkit::helm::{chart, helm, succeed};
use watchkeeper_testkit::wait::until_async;

/// Time that anything may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(240);

/// The product's image, as the node knows it.
pub const IMAGE: &str = "watchkeeper.test/watchkeeper";
/// The database's.
pub const POSTGRES: &str = "watchkeeper.test/postgres:dev";
/// An application with a client library that we did not write.
pub const SAMPLE_APP: &str = "watchkeeper.test/sample-app:dev";

/// Where the shared operator is.
pub const OPERATOR_NAMESPACE: &str = "watchkeeper";

// Each has a database and four pods more, and the machine may have two cores.
static AT_ONCE: Semaphore = Semaphore::const_new(3);
static OPERATOR: OnceCell<()> = OnceCell::const_new();

/// The cluster that tests share, or one of a test's own.
pub enum Home {
    Shared(&'static Cluster),
    Own(Box<Cluster>),
}

impl Deref for Home {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        match self {
            Self::Shared(cluster) => cluster,
            Self::Own(cluster) => cluster,
        }
    }
}

/// One test's part of a cluster.
pub struct World {
    pub cluster: Home,
    pub client: Client,
    pub namespace: String,
    _turn: SemaphorePermit<'static>,
}

impl Drop for World {
    fn drop(&mut self) {
        // A machine with few cores has place for the pods of a few installations only.
        let mut delete = self.cluster.kubectl();
        let _ = delete.args(["delete", "namespace", &self.namespace, "--wait=false"]).output();
    }
}

impl World {
    /// A namespace in the shared cluster, whose operator serves all of them with two replicas.
    pub async fn new(name: &str) -> Result<Self> {
        let turn = AT_ONCE.acquire().await?;
        let cluster = Cluster::shared()?;
        OPERATOR
            .get_or_try_init(async || install(cluster, OPERATOR_NAMESPACE, &["--set=replicaCount=2"]))
            .await?;
        let namespace = cluster.namespace(name).await?;
        Ok(Self { client: cluster.client().await?, cluster: Home::Shared(cluster), namespace, _turn: turn })
    }

    /// A namespace in a cluster of its own that has the images and nothing else, for tests that harm it.
    pub async fn alone(name: &str) -> Result<Self> {
        let turn = AT_ONCE.acquire().await?;
        let cluster = Home::Own(Box::new(Cluster::start()?));
        import(&cluster)?;
        let namespace = cluster.namespace(name).await?;
        Ok(Self { client: cluster.client().await?, cluster, namespace, _turn: turn })
    }

    /// `kubectl` in this test's namespace: what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        succeed(self.cluster.kubectl().args(["--namespace", &self.namespace]).args(arguments))
    }

    /// Applies manifests in this test's namespace.
    pub fn apply(&self, manifests: &Value) -> Result<()> {
        apply(&self.cluster, &self.namespace, manifests)
    }

    /// Makes or changes the instance `name`, and waits until it is ready. Its loggers take as many posts of
    /// a key as come: the posters here would be told to slow down.
    pub async fn instance(&self, name: &str, mut spec: Value) -> Result<Instance<'_>> {
        let env = json!([{"name": "WATCHKEEPER_POSTS_PER_MINUTE", "value": "1000000"}]);
        spec["logger"]["podTemplate"] = json!({"spec": {"containers": [{"name": "logger", "env": env}]}});
        let instance = self.declare(name, spec)?;
        instance.ready().await?;
        Ok(instance)
    }

    /// Makes or changes the instance `name`.
    pub fn declare(&self, name: &str, spec: Value) -> Result<Instance<'_>> {
        let object = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "AnalyticsInstance",
            "metadata": {"name": name}, "spec": spec});
        self.apply(&object)?;
        Ok(Instance { world: self, name: name.to_owned() })
    }

    /// Makes or changes an endpoint of the instance `shop`.
    pub fn endpoint(&self, name: &str, spec: Value) -> Result<Api<MonitoredEndpoint>> {
        let mut object = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "MonitoredEndpoint",
            "metadata": {"name": name}, "spec": {"instanceRef": {"name": "shop"}}});
        for (key, value) in spec.as_object().into_iter().flatten() {
            object["spec"][key] = value.clone();
        }
        self.apply(&object)?;
        Ok(Api::namespaced(self.client.clone(), &self.namespace))
    }

    /// One value of a Secret.
    pub async fn secret(&self, name: &str, key: &str) -> Result<String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let data = secrets.get(name).await?.data.unwrap_or_default();
        let value = data.get(key).with_context(|| format!("no {key} in {name}"))?;
        Ok(String::from_utf8(value.0.clone())?)
    }

    /// The pods of one component of an instance.
    pub async fn pods(&self, instance: &str, component: &str) -> Result<Vec<Pod>> {
        let selector =
            format!("app.kubernetes.io/instance={instance},app.kubernetes.io/component={component}");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(pods.list(&ListParams::default().labels(&selector)).await?.items)
    }

    /// The address at which this machine reaches a Service.
    pub async fn address(&self, service: &str, port: u16) -> Result<SocketAddr> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let service = services.get(service).await?;
        let ip = service.spec.and_then(|spec| spec.cluster_ip).context("a Service without an address")?;
        Ok(SocketAddr::new(ip.parse().with_context(|| ip.clone())?, port))
    }

    /// What a person would look at first when something does not work.
    pub fn explain(&self) -> String {
        let say = |arguments: &[&str]| self.kubectl(arguments).unwrap_or_else(|error| error.to_string());
        let logs =
            |selector: &str| say(&["logs", "--all-containers", "--tail=15", "--prefix", "-l", selector]);
        [
            say(&["get", "wki,wke,pod,pvc,job", "-o", "wide"]),
            say(&["get", "wki", "-o", "jsonpath={.items[*].status}"]),
            say(&["get", "events", "--sort-by=.lastTimestamp"]),
            logs("app.kubernetes.io/name=watchkeeper"),
            succeed(self.cluster.kubectl().args([
                "logs",
                "--tail=30",
                "--prefix",
                "--namespace",
                OPERATOR_NAMESPACE,
                "--selector=app.kubernetes.io/name=watchkeeper-operator",
            ]))
            .unwrap_or_default(),
        ]
        .join("\n")
    }

    /// Waits for something, and tells what was going on when it does not come.
    pub async fn until<T>(&self, what: &str, probe: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        let found = until_async(what, SOON, probe).await;
        found.map_err(|error| anyhow!("{error:#}\n{}", self.explain()))
    }
}

/// Applies manifests, as a person does.
pub fn apply(cluster: &Cluster, namespace: &str, manifests: &Value) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    serde_json::to_writer(&file, manifests)?;
    let mut command = cluster.kubectl();
    succeed(command.args(["--namespace", namespace, "apply", "--server-side", "-f"]).arg(file.path()))?;
    Ok(())
}

/// Gives the node the images.
pub fn import(cluster: &Cluster) -> Result<()> {
    ["watchkeeper", "postgres", "sample-app"].into_iter().try_for_each(|name| cluster.import(&image(name)?))
}

/// Gives the node the images and installs the chart as release `watchkeeper` in `namespace`.
pub fn install(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> Result<()> {
    import(cluster)?;
    // As restricted as a namespace can be.
    succeed(cluster.kubectl().args(["create", "namespace", namespace]))?;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    succeed(cluster.kubectl().args(["label", "namespace", namespace, label]))?;
    succeed(&mut helm_install(cluster, namespace, arguments)?)?;
    Ok(())
}

/// `helm upgrade --install` of the chart with the tests' images, waiting until the operator is ready.
pub fn helm_install(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = helm()?;
    cluster.aim(&mut command);
    command
        .args(["upgrade", "--install", "watchkeeper"])
        .arg(chart())
        .args(["--namespace", namespace, "--wait", "--timeout=3m"])
        .args([&format!("--set=image.repository={IMAGE}"), "--set=image.tag=dev"])
        .arg(format!("--set=postgresImage={POSTGRES}"))
        .args(arguments);
    Ok(command)
}

/// An installation in real pods.
pub struct Instance<'a> {
    pub world: &'a World,
    pub name: String,
}

impl Instance<'_> {
    /// Waits until it says of its present generation that it is ready.
    pub async fn ready(&self) -> Result<AnalyticsInstance> {
        self.condition("Ready", "True").await
    }

    /// Waits until the dashboard has exactly these many rows for a key.
    pub async fn holds(&self, key: &str, rows: usize) -> Result<()> {
        let what = format!("{rows} rows are there");
        self.world
            .until(&what, async || {
                let found = self.upstream().await?.dashboard(key).await.unwrap_or_default();
                Ok((found.len() == rows).then_some(()))
            })
            .await
    }

    /// Waits until a condition of its present generation has a status.
    pub async fn condition(&self, kind: &str, status: &str) -> Result<AnalyticsInstance> {
        let api: Api<AnalyticsInstance> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let what = format!("{} has {kind}={status}", self.name);
        let probe = async || {
            let instance = api.get(&self.name).await?;
            let generation = instance.metadata.generation;
            let conditions = instance.status.iter().flat_map(|status| &status.conditions);
            let holds = conditions.into_iter().any(|condition| {
                condition.type_ == kind
                    && condition.status == status
                    && condition.observed_generation == generation
            });
            Ok(holds.then_some(instance))
        };
        self.world.until(&what, probe).await
    }

    /// Changes its spec.
    pub async fn change(&self, spec: Value) -> Result<()> {
        let api: Api<AnalyticsInstance> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        api.patch(&self.name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await?;
        Ok(())
    }

    /// Its logger and its API as a client knows them.
    pub async fn upstream(&self) -> Result<Upstream> {
        let logger = self.world.address(&format!("{}-logger", self.name), 8000).await?;
        let api = self.world.address(&format!("{}-api", self.name), 3000).await?;
        Upstream::split(format!("http://{logger}"), format!("http://{api}"))
    }

    /// Waits until every pod of a component is one of its newest template, and ready.
    pub fn rolled_out(&self, workload: &str) -> Result<()> {
        self.world.kubectl(&["rollout", "status", workload, "--timeout=240s"]).map(drop)
    }

    /// Names of its pods that are on their way out.
    async fn terminating(&self) -> Result<Vec<String>> {
        let pods: Api<Pod> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let own = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", self.name));
        let pods = pods.list(&own).await?.items;
        let leaving = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some());
        Ok(leaving.map(ResourceExt::name_any).collect())
    }

    /// Kills the only pod of a component, at once, and gives the name that it had.
    pub async fn kill(&self, component: &str) -> Result<String> {
        let pods = self.world.pods(&self.name, component).await?;
        let pod = pods.first().with_context(|| format!("no pod of {component}"))?.name_any();
        self.world.kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force"])?;
        Ok(pod)
    }
}

/// How long something took, as the operations guide lists it.
pub fn report(fault: &str, acknowledged: usize, found: usize, took: Duration) {
    println!("| {fault} | {acknowledged} | {found} | {:.1} s |", took.as_secs_f64());
}

/// Rows in each post of a [`Storm`].
const ROWS: usize = 10;
/// Posts that must be acknowledged for ingestion to count as going.
const GOING: usize = 50;

/// Clients that post to an installation all the time while something happens to it.
pub struct Storm<'a> {
    shop: &'a Instance<'a>,
    upstream: Upstream,
    load: Load,
    since: Instant,
}

/// What became of every post of a [`Storm`].
pub struct Calm {
    /// Each poster's own account.
    pub accounts: Vec<Account>,
}

impl<'a> Storm<'a> {
    /// Sets posters to work, and waits until they do.
    pub async fn over(shop: &'a Instance<'a>, posters: usize) -> Result<Self> {
        let upstream = shop.upstream().await?;
        let load = Load::start_lasting(&upstream, posters, ROWS).await?;
        let mut storm = Self { shop, upstream, load, since: Instant::now() };
        storm.goes_on().await?;
        storm.since = Instant::now();
        Ok(storm)
    }

    /// Waits until more posts are acknowledged than were.
    pub async fn goes_on(&self) -> Result<()> {
        let before = self.load.acknowledged();
        let going = async || Ok((self.load.acknowledged() > before + GOING).then_some(()));
        self.shop.world.until("posts are acknowledged", going).await
    }

    /// Waits until posts are acknowledged again, and finds every row of every one of them, once.
    pub async fn settle(self, fault: &str) -> Result<Calm> {
        self.goes_on().await?;
        let took = self.since.elapsed();
        let accounts = self.load.finish().await?;
        // A connection that is kept open leads to a pod that is on its way out, which may have lost
        // what it would need to answer, such as a password.
        let gone = async || Ok(self.shop.terminating().await?.is_empty().then_some(()));
        self.shop.world.until("the pods of before are gone", gone).await?;
        let api_answers = async || Ok(self.upstream.dashboard(&accounts[0].key).await.ok());
        self.shop.world.until("the API answers", api_answers).await?;
        let mut acknowledged = 0;
        for account in &accounts {
            account.settle(&self.upstream, ROWS).await?;
            acknowledged += account.count(Fate::Acknowledged) * ROWS;
        }
        // Whatever is missing or there twice has been an error before.
        report(fault, acknowledged, acknowledged, took);
        Ok(Calm { accounts })
    }
}

impl Calm {
    /// The posts that the server had no place for.
    pub fn turned_away(&self) -> Vec<Fate> {
        let fates = self.accounts.iter().flat_map(|account| &account.fates).copied();
        fates.filter(|fate| matches!(fate, Fate::Refused(_) | Fate::Unreachable)).collect()
    }

    /// How many posts got no answer.
    pub fn unanswered(&self) -> usize {
        self.accounts.iter().map(|account| account.count(Fate::Unknown)).sum()
    }
}

/// The application with the key of a Secret and the address of a logger.
pub fn sample_app(secret: &str, server: &str) -> Value {
    let labels = json!({"app": "app"});
    let container = json!({
        "name": "app",
        "image": SAMPLE_APP,
        "env": [
            {"name": "WATCHKEEPER_URL", "value": server},
            {"name": "API_KEY_FILE", "value": "/key/api-key"},
        ],
        "volumeMounts": [{"name": "key", "mountPath": "/key", "readOnly": true}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}},
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]}},
    });
    let pod = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "key", "secret": {"secretName": secret}}],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app"},
         "spec": {"selector": labels, "ports": [{"port": 8080}]}},
    ]})
}
