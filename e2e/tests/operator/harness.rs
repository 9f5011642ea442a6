//! What the tests share: a namespace, an operator with the generated permissions, a
//! stand-in for the kubelet, and short ways to say things.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams,
};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchkeeper_crds::{AnalyticsInstance, MonitoredEndpoint};
use watchkeeper_operator::analytics_instance::child::ChildKind;
use watchkeeper_operator::context::Settings;
use watchkeeper_operator::health::Health;
use watchkeeper_operator::lease::LeaseOptions;
use watchkeeper_operator::metrics::Metrics;
use watchkeeper_operator::run::Scope;
use watchkeeper_operator::{Options, rbac};
use watchkeeper_testkit::cluster::{ControlPlane, Request};
use watchkeeper_testkit::wait::until_async;

use crate::foreign;

/// Time that anything may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// One test's part of the cluster.
pub struct World {
    pub plane: &'static ControlPlane,
    pub client: Client,
    pub namespace: String,
    pub settings: Settings,
    kubelet: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

impl World {
    pub async fn new(name: &str) -> Result<Self> {
        static KINDS: OnceCell<()> = OnceCell::const_new();
        let plane = ControlPlane::shared()?;
        KINDS.get_or_try_init(async || foreign::install(&plane.client().await?).await).await?;
        Self::on(plane, name).await
    }

    /// One test's part of a control plane of its own.
    pub async fn on(plane: &'static ControlPlane, name: &str) -> Result<Self> {
        let namespace = plane.namespace(name).await?;
        let client = plane.client().await?;
        let world = Self {
            plane,
            kubelet: tokio::spawn(kubelet(client.clone(), namespace.clone())),
            settings: Settings {
                image: "watchkeeper:1.0.0".to_owned(),
                api_url: Some("http://127.0.0.1:9".to_owned()),
                served_refresh: Duration::from_secs(1),
                ..Settings::default()
            },
            client,
            namespace,
        };
        world.grant(&world.namespace).await?;
        Ok(world)
    }

    /// Lets the operator of this test work in a namespace, by the generated Role.
    pub async fn grant(&self, namespace: &str) -> Result<()> {
        let account = ServiceAccount { metadata: named("operator"), ..ServiceAccount::default() };
        let created = PostParams::default();
        if namespace == self.namespace {
            Api::namespaced(self.client.clone(), namespace).create(&created, &account).await?;
        }
        let role: Role = serde_yaml::from_str(&rbac::files()?[1].1)?;
        Api::namespaced(self.client.clone(), namespace).create(&created, &role).await?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role.name_any()},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": self.namespace}],
        }))?;
        Api::namespaced(self.client.clone(), namespace).create(&created, &binding).await?;
        self.permitted(json!({"namespace": namespace, "verb": "list", "resource": "secrets"}), true).await
    }

    /// Lets the operator of this test make endpoints of annotated objects, by the generated Role.
    pub async fn grant_discovery(&self, namespace: &str) -> Result<()> {
        let role: Role = serde_yaml::from_str(&rbac::files()?[3].1)?;
        let created = PostParams::default();
        Api::namespaced(self.client.clone(), namespace).create(&created, &role).await?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "operator-discovery"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role.name_any()},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": self.namespace}],
        }))?;
        Api::namespaced(self.client.clone(), namespace).create(&created, &binding).await?;
        let permission = json!({"namespace": namespace, "verb": "create", "resource": "monitoredendpoints",
            "group": "watchkeeper.dev"});
        self.permitted(permission, true).await
    }

    /// Waits until the API server has heard of a permission, or of its end, which takes it a moment.
    async fn permitted(&self, permission: Value, wanted: bool) -> Result<()> {
        let review: SubjectAccessReview = serde_json::from_value(json!({"spec": {
            "user": format!("system:serviceaccount:{}:operator", self.namespace),
            "resourceAttributes": permission}}))?;
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        until_async(&format!("the operator is permitted: {wanted}"), SOON, async || {
            let answer = reviews.create(&PostParams::default(), &review).await?;
            Ok(answer.status.filter(|status| status.allowed == wanted).map(drop))
        })
        .await
    }

    /// Lets the operator of this test work everywhere, by the generated ClusterRole.
    pub async fn grant_cluster(&self) -> Result<()> {
        let role: ClusterRole = serde_yaml::from_str(&rbac::files()?[0].1)?;
        let params = PatchParams::apply("test").force();
        Api::<ClusterRole>::all(self.client.clone())
            .patch(&role.name_any(), &params, &Patch::Apply(&role))
            .await?;
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": {"name": format!("operator-{}", self.namespace)},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role.name_any()},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": self.namespace}],
        }))?;
        Api::all(self.client.clone()).create(&PostParams::default(), &binding).await?;
        self.permitted(json!({"verb": "get", "resource": "namespaces"}), true).await
    }

    /// Takes back what [`Self::grant_cluster`] has given.
    pub async fn revoke_cluster(&self) -> Result<()> {
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        bindings.delete(&format!("operator-{}", self.namespace), &DeleteParams::default()).await?;
        self.permitted(json!({"verb": "get", "resource": "namespaces"}), false).await
    }

    /// Starts an operator for this namespace alone.
    pub async fn operator(&self) -> Result<Operator> {
        self.operator_for(&[&self.namespace]).await
    }

    /// Starts an operator for some namespaces.
    pub async fn operator_for(&self, namespaces: &[&str]) -> Result<Operator> {
        let client = self.plane.client_as_service_account(&self.namespace, "operator").await?;
        let metrics = Arc::new(Metrics::new()?);
        let health = Health::default();
        let stop = CancellationToken::new();
        let lease = LeaseOptions {
            duration: Duration::from_secs(3),
            renew_deadline: Duration::from_secs(2),
            retry: Duration::from_millis(500),
            ..LeaseOptions::new(&self.namespace, "watchkeeper-operator")
        };
        let options = Options {
            scope: Scope::List(namespaces.iter().map(|&name| name.to_owned()).collect()),
            lease: Some(lease),
            settings: self.settings.clone(),
        };
        let task = tokio::spawn({
            let (metrics, health, stop) = (metrics.clone(), health.clone(), stop.clone());
            async move {
                watchkeeper_operator::run(client, options, metrics, health, stop).await?;
                Ok(())
            }
        });
        Ok(Operator { metrics, health, stop, task })
    }

    pub fn instances(&self) -> Api<AnalyticsInstance> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn endpoints(&self) -> Api<MonitoredEndpoint> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn children(&self, kind: ChildKind) -> Api<DynamicObject> {
        kind.api(&self.client, &self.namespace)
    }

    /// Makes an instance.
    pub async fn instance(&self, name: &str, spec: Value) -> Result<AnalyticsInstance> {
        let object = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "AnalyticsInstance",
            "metadata": {"name": name}, "spec": spec});
        Ok(serde_json::from_value(self.create("AnalyticsInstance", "analyticsinstances", &object).await?)?)
    }

    /// Makes an endpoint of the instance `shop`.
    pub async fn endpoint(&self, name: &str, change: Value) -> Result<MonitoredEndpoint> {
        let mut object = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "MonitoredEndpoint",
            "metadata": {"name": name},
            "spec": {"instanceRef": {"name": "shop"}, "http": {"url": "http://127.0.0.1:1/"}}});
        for (key, value) in change.as_object().into_iter().flatten() {
            object["spec"][key] = value.clone();
        }
        Ok(serde_json::from_value(self.create("MonitoredEndpoint", "monitoredendpoints", &object).await?)?)
    }

    async fn create(&self, kind: &str, plural: &str, object: &Value) -> Result<Value> {
        let resource = ApiResource {
            group: "watchkeeper.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "watchkeeper.dev/v1alpha1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let object = api.create(&PostParams::default(), &serde_json::from_value(object.clone())?).await?;
        Ok(serde_json::to_value(object)?)
    }

    /// Changes the spec of an instance.
    pub async fn change(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.instances().patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until a condition of an instance has a status.
    pub async fn condition(&self, name: &str, kind: &str, status: &str) -> Result<AnalyticsInstance> {
        let wanted = format!("{name} has {kind}={status}");
        let api = self.instances();
        let found = until_async(&wanted, SOON, async || {
            let instance = api.get(name).await?;
            let generation = instance.metadata.generation;
            let conditions = instance.status.iter().flat_map(|status| &status.conditions);
            let holds = conditions.into_iter().any(|condition| {
                condition.type_ == kind
                    && condition.status == status
                    && condition.observed_generation == generation
            });
            Ok(holds.then_some(instance))
        })
        .await;
        match found {
            Ok(instance) => Ok(instance),
            Err(error) => {
                let last = api.get(name).await?.status;
                Err(error.context(format!("its status was {}", serde_json::to_string_pretty(&last)?)))
            }
        }
    }

    /// Waits until an instance is ready and at rest.
    pub async fn ready(&self, name: &str) -> Result<AnalyticsInstance> {
        self.condition(name, "Ready", "True").await?;
        self.condition(name, "Progressing", "False").await
    }

    /// Every child of an instance that carries the operator's labels.
    pub async fn all_children(&self, instance: &str) -> Result<Vec<(ChildKind, DynamicObject)>> {
        let labels = format!(
            "app.kubernetes.io/managed-by=watchkeeper-operator,app.kubernetes.io/instance={instance}"
        );
        let mut all = Vec::new();
        for kind in ChildKind::ALL {
            for object in self.children(kind).list(&ListParams::default().labels(&labels)).await? {
                all.push((kind, object));
            }
        }
        Ok(all)
    }

    /// Kind, name and version of every child, to see whether any was touched; what
    /// controllers write into status does not count.
    pub async fn versions(&self, instance: &str) -> Result<Vec<(ChildKind, String, String)>> {
        let all = self.all_children(instance).await?;
        Ok(all
            .into_iter()
            .map(|(kind, object)| {
                let generation = object.metadata.generation.map(|generation| generation.to_string());
                let version = generation.or_else(|| object.resource_version()).unwrap_or_default();
                (kind, object.name_any(), format!("{} {version}", object.uid().unwrap_or_default()))
            })
            .collect())
    }

    /// What the operator of this test has asked of the API server.
    pub fn asked(&self) -> Result<Vec<Request>> {
        let user = format!("system:serviceaccount:{}:operator", self.namespace);
        Ok(self.plane.requests()?.into_iter().filter(|request| request.username() == user).collect())
    }

    /// Its writes so far, but for the Lease.
    pub fn written(&self) -> Result<Vec<String>> {
        Ok(self
            .asked()?
            .into_iter()
            .filter(|request| request.is_write())
            .filter(|request| request.object_ref.as_ref().is_none_or(|object| object.resource != "leases"))
            .map(|request| format!("{} {}", request.verb, request.uri))
            .collect())
    }
}

/// A running operator.
pub struct Operator {
    pub metrics: Arc<Metrics>,
    pub health: Health,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Operator {
    /// Ends it in good order, and makes sure that it was never refused for lack of permission.
    pub async fn stop(self, world: &World) -> Result<()> {
        self.stop.cancel();
        self.task.await??;
        let refused: Vec<_> = world
            .asked()?
            .into_iter()
            .filter(|request| request.code() == 403)
            .map(|request| request.uri)
            .collect();
        ensure!(refused.is_empty(), "not permitted: {refused:?}");
        Ok(())
    }

    /// Ends it at once, as if its machine had lost power.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub fn leads(&self) -> bool {
        self.metrics.leader.get() == 1
    }

    pub fn reconciles(&self, controller: &str) -> u64 {
        self.metrics.reconciles.with_label_values(&[controller, "ok"]).get()
    }

    /// Waits until it leads and has nothing pending.
    pub async fn leading(&self) -> Result<()> {
        until_async("the operator leads", SOON, async || {
            Ok((self.leads() && self.health.pending().is_empty()).then_some(()))
        })
        .await
    }
}

/// A condition's reason and message, for a test's own words.
pub fn reason(instance: &AnalyticsInstance, kind: &str) -> Result<(String, String)> {
    let conditions = instance.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    let found = found.with_context(|| format!("no condition {kind}"))?;
    Ok((found.reason.clone(), found.message.clone()))
}

pub fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Stands in for nodes: reports every pod as running and ready, until aborted. How a pod ends is for
/// the tests to say.
async fn kubelet(client: Client, namespace: String) {
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    loop {
        if let Ok(all) = pods.list(&ListParams::default()).await {
            for pod in all {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                let told = matches!(phase, Some("Running" | "Succeeded" | "Failed"));
                if told || pod.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let now = jiff::Timestamp::now().to_string();
                let conditions: Vec<Value> = ["Initialized", "ContainersReady", "Ready"]
                    .iter()
                    .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now}))
                    .collect();
                let status = Patch::Merge(json!({"status": {"phase": "Running", "conditions": conditions}}));
                // The pod may have gone in between.
                let _ = pods.patch_status(&pod.name_any(), &PatchParams::default(), &status).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
