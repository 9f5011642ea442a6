//! `AnalyticsInstance`: one installation of logger, API, checker and database.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backup::{Backup, Restore};
use crate::common::{Component, ImageSpec, SecretKeyRef, Toggle};
use crate::discovery::Discovery;
use crate::durations::{self, TimeSpan};
use crate::gateway::Gateway;
use crate::notifications::Notifications;
use crate::observability::Observability;
use crate::probe_networks::ProbeNetworks;
use crate::schema;
use crate::services::{ReverseDns, Site, Spool};

/// One installation of Watchkeeper: logger, API, checker and their database.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "watchkeeper.dev",
    version = "v1alpha1",
    kind = "AnalyticsInstance",
    namespaced,
    cel,
    status = "AnalyticsInstanceStatus",
    derive = "PartialEq",
    doc = "One installation of Watchkeeper: logger, API, checker and their database.",
    shortname = "wki",
    category = "watchkeeper",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 40")
        .message("metadata.name must start with a letter and have at most 40 characters of a-z, 0-9 and '-', because it begins the names of Services"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether every part answers"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", description = "Where the dashboard and the API answer"),
    printcolumn(name = "Endpoints", type_ = "integer", json_path = ".status.endpoints.total", description = "Endpoints that are watched"),
    printcolumn(name = "Up", type_ = "integer", json_path = ".status.endpoints.up", description = "Endpoints that answer as expected"),
    printcolumn(name = "Down", type_ = "integer", json_path = ".status.endpoints.down", description = "Endpoints that do not"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "Version that runs"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is or is not ready", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.ingress) || !has(self.gateway)")
        .message("set ingress or gateway, not both; when changing from one to the other, write the old one as null"),
    validation = Rule::new("!has(self.spool) || !has(self.spool.claimName) || (!has(self.logger.autoscaling) && (!has(self.logger.replicas) || self.logger.replicas <= 1))")
        .message("spool.claimName is for one logger, which has the claim to itself: set logger.replicas to 1, or leave claimName out")
)]
pub struct AnalyticsInstanceSpec {
    /// Image of the three services; the operator's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSpec>,
    /// The write path: takes hits.
    #[serde(default)]
    pub logger: Component,
    /// The read path: dashboard and APIs.
    #[serde(default)]
    pub api: Component,
    /// Probes the monitored endpoints.
    #[serde(default)]
    #[x_kube(validation = Rule::new("!has(self.autoscaling)")
        .message("the checker cannot be autoscaled: its load is the number of endpoints; set replicas"))]
    pub checker: Component,
    /// Where data lives.
    #[serde(default)]
    pub database: Database,
    /// Who may use the installation.
    #[serde(default)]
    pub access: Access,
    /// Makes the installation reachable from outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// Makes the installation reachable through a Gateway of the Gateway API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// What is kept about people.
    #[serde(default)]
    pub privacy: Privacy,
    /// How long data is kept; without limit when left out.
    #[serde(default)]
    pub retention: Retention,
    /// Where hits wait on disk while the database is away; without it clients are told to come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<Spool>,
    /// The website that reports its views with a secret of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Host names of visitors' addresses.
    #[serde(default)]
    pub reverse_dns: ReverseDns,
    /// Which MonitoredEndpoints there are beside those of this namespace.
    #[serde(default)]
    pub endpoints: Endpoints,
    /// What probes may reach.
    #[serde(default)]
    pub probe_networks: ProbeNetworks,
    /// Who is told when an endpoint's state changes, and how.
    #[serde(default)]
    pub notifications: Notifications,
    /// How the installation itself is watched.
    #[serde(default)]
    pub observability: Observability,
    /// Lets only the needed traffic reach and leave the pods.
    #[serde(default)]
    pub network_policy: Toggle,
    /// Keeps a voluntary disruption from taking every replica of a service.
    #[serde(default)]
    pub pod_disruption_budget: Toggle,
    /// Stops the operator from changing anything of this installation.
    #[serde(default)]
    pub paused: bool,
}

/// Where data lives: exactly one of the fields is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.managed), has(self.external)].exists_one(set, set)")
    .message("set exactly one of managed and external; when changing from one to the other, write the old one as null"))]
pub struct Database {
    /// A Postgres that the operator runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedDatabase>,
    /// A Postgres that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalDatabase>,
}

impl Default for Database {
    fn default() -> Self {
        Self { managed: Some(ManagedDatabase::default()), external: None }
    }
}

/// A Postgres that the operator runs as a StatefulSet of one pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.restore) || (has(oldSelf.restore) && self.restore == oldSelf.restore)")
    .message("restore is read when the database is made and can only be taken out afterwards; restore into a new instance"))]
pub struct ManagedDatabase {
    /// The volume that holds the data.
    #[serde(default)]
    pub storage: Storage,
    /// Image that speaks the environment contract of the official `postgres` image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSpec>,
    /// CPU and memory of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bare::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// Postgres settings, as in `max_connections: "200"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z_][a-z0-9_.]*$'))")
        .message("parameters must be names of Postgres settings, for example max_connections"))]
    pub parameters: BTreeMap<String, String>,
    /// Copies of the database, made on a schedule on a volume of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// The copy that the database is made from, once, when its volume is empty; of no meaning afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
}

/// The volume of the managed database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0'))")
        .message("size must be a quantity above zero, for example 10Gi"),
    validation = Rule::new("!isQuantity(self.size) || !isQuantity(oldSelf.size) || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0")
        .message("size can only grow: a volume cannot be made smaller"),
    validation = Rule::new("has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)")
        .message("className cannot change: a volume stays in its storage class")
)]
pub struct Storage {
    /// Size of the volume; can grow, never shrink.
    #[serde(default = "default_size")]
    #[schemars(length(min = 1, max = 32))]
    pub size: String,
    /// Storage class; the cluster's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// What happens to the volume when the instance is deleted.
    #[serde(default)]
    pub reclaim: Reclaim,
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: default_size(), class_name: None, reclaim: Reclaim::default() }
    }
}

fn default_size() -> String {
    "10Gi".to_owned()
}

/// What happens to the database's volume when the instance is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reclaim {
    /// The volume claim stays, and an instance of the same name finds its data again.
    #[default]
    Retain,
    /// The volume claim is deleted with the instance.
    Delete,
}

/// A Postgres that exists already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalDatabase {
    /// Secret key that holds the URL, `postgres://user:password@host:5432/name`.
    pub url_from: SecretKeyRef,
    /// Secret key that holds the PEM certificate of the authority to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKeyRef>,
}

/// Who may use the installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Whether keys that nobody registered are accepted.
    #[serde(default)]
    pub signup: Signup,
    /// Asks for the administrator's token before `/docs` and `/openapi.json`.
    #[serde(default)]
    pub protect_docs: bool,
    /// Secret key with the administrator's token; generated when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_secret_ref: Option<SecretKeyRef>,
    /// Projects whose key lands in a Secret for applications to mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(a, self.exists_one(b, b.keySecretName == a.keySecretName))")
            .message("every project needs a keySecretName of its own"))]
    pub projects: Vec<Project>,
}

/// Whether keys that nobody registered are accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Signup {
    /// Any key is a project, and anyone may ask for one.
    #[default]
    Open,
    /// Only registered keys.
    Closed,
}

impl Signup {
    /// The word that manifests and the services' environment use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Closed => "Closed",
        }
    }
}

/// A project with a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// Name of the project.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Name of the Secret that receives the key under `api-key`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub key_secret_name: String,
    /// What the project wants beyond what the installation demands. When left out, whatever was set
    /// through the API stays; `{}` takes it all back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettings>,
}

/// What a project wants beyond what the installation demands: the stricter of both holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectSettings {
    /// Least privacy of its hits: 0 keeps address and country, 1 the country alone, 2 neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2))]
    pub privacy_level: Option<i32>,
    /// Whether hits that say `Sec-GPC: 1` or `DNT: 1` lose address, user and visitor.
    #[serde(default)]
    pub honor_gpc: bool,
    /// How long its hits are kept, in whole days, for example `90d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 6), regex(pattern = r"^[1-9][0-9]{0,4}d$"))]
    pub retention_hits: Option<String>,
}

/// Makes the installation reachable from outside the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Host name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("host must be a DNS name in lower case without scheme, port or path, for example stats.example.com"))]
    pub host: String,
    /// Ingress class; the cluster's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Annotations for the ingress controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Serves HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTls>,
}

/// Where the certificate comes from: exactly one of the fields is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.issuerRef), has(self.secretName)].exists_one(set, set)")
    .message("set exactly one of issuerRef and secretName"))]
pub struct IngressTls {
    /// The cert-manager issuer that makes the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// A TLS Secret that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
}

/// A cert-manager issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Whether the issuer belongs to this namespace or to the cluster.
    #[serde(default)]
    pub kind: IssuerKind,
    /// Name of the issuer.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Whether an issuer belongs to a namespace or to the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    #[default]
    Issuer,
    ClusterIssuer,
}

/// What is kept about people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Privacy {
    /// 0 keeps addresses, 1 keeps only what is derived from them, 2 keeps neither.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2))]
    pub level: i32,
    /// Keeps neither address nor user nor visitor of hits that say `Sec-GPC: 1` or `DNT: 1`.
    #[serde(default)]
    pub honor_gpc: bool,
}

/// How long data is kept; without limit where left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Requests, for example `90d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "durations::schema_with_days")]
    #[x_kube(validation = Rule::new("self.matches('[1-9]')")
        .message("hits must be kept longer than nothing; leave it out to keep them for ever"))]
    pub hits: Option<TimeSpan>,
    /// Results of probes, for example `365d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "durations::schema_with_days")]
    #[x_kube(validation = Rule::new("self.matches('[1-9]')")
        .message("checks must be kept longer than nothing; leave it out to keep them for ever"))]
    pub checks: Option<TimeSpan>,
}

/// Which MonitoredEndpoints there are beside those of the instance's namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Namespaces by label; `{}` allows all, left out only the instance's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bare::<LabelSelector>")]
    pub namespace_selector: Option<LabelSelector>,
    /// Makes endpoints from annotated objects of other kinds.
    #[serde(default)]
    pub discovery: Discovery,
}

/// What the operator found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsInstanceStatus {
    /// Ready, Progressing, Degraded, Paused, DatabaseReady; CertificateReady, RouteReady and BackupReady where
    /// asked for; Reconciling and Stalled while they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the dashboard and the API answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Tag of the image that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many endpoints are watched and how they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointCounts>,
    /// The services and how many of their pods are ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub components: Vec<ComponentStatus>,
    /// Copies of the managed database, where any are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
}

/// Copies of the managed database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// Volume claim that holds them.
    pub claim_name: String,
    /// When the newest was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
}

/// How many endpoints are watched and how they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointCounts {
    /// All that are attached.
    pub total: i64,
    /// Those that answer as expected.
    pub up: i64,
    /// Those that do not.
    pub down: i64,
    /// Those that answer, and not as well as they should.
    #[serde(default)]
    pub degraded: i64,
}

/// One service and how many of its pods are ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentStatus {
    /// logger, api, checker or database.
    pub name: String,
    /// Pods that are wanted.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
}

#[cfg(test)]
#[path = "analytics_instance_tests.rs"]
mod tests;
