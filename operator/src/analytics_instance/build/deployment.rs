//! The Deployments of logger, API and checker.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, Container, EnvFromSource, EnvVar, EnvVarSource, KeyToPath, Lifecycle,
    LifecycleHandler, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, SecretKeySelector,
    SecretVolumeSource, SleepAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use watchkeeper_crds::SecretKeyRef;
use watchkeeper_crds::autoscaling::Scaling;
use watchkeeper_crds::services::Spool;

use super::{overrides, pod};
use crate::analytics_instance::plan::{Database, Plan, Service};
use crate::context::Error;
use crate::labels;

/// The user that the services' image runs as.
const USER: i64 = 65_532;
const ADMIN_FOLDER: &str = "/etc/watchkeeper/admin";
const SITE_FOLDER: &str = "/etc/watchkeeper/site";
const SPOOL_FOLDER: &str = "/var/lib/watchkeeper/spool";
const CA_FOLDER: &str = "/etc/watchkeeper/database-ca";

pub fn build(plan: &Plan, service: Service, config_hash: &str) -> Result<Deployment, Error> {
    let component = plan.component(service);
    let name = service.name();
    let selector = labels::selector(&plan.name, name);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels::object(&plan.name, name)),
            annotations: Some([(labels::CONFIG_HASH.to_owned(), config_hash.to_owned())].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod_spec(plan, service)),
    };
    Ok(Deployment {
        metadata: plan.meta(plan.child_name(name), name),
        spec: Some(DeploymentSpec {
            replicas: match component.scaling() {
                Scaling::Fixed(number) => Some(number),
                // The autoscaler's; how it gets it is in `replicas`.
                Scaling::Between(..) => None,
            },
            revision_history_limit: Some(3),
            strategy: Some(strategy(plan, service)),
            selector: LabelSelector { match_labels: Some(selector.clone()), ..LabelSelector::default() },
            template: overrides::lay_over(template, component.pod_template.as_ref(), &selector, name)?,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    })
}

fn strategy(plan: &Plan, service: Service) -> DeploymentStrategy {
    if service == Service::Logger && plan.spec.spool.as_ref().is_some_and(|spool| spool.claim_name.is_some())
    {
        // The claim is one logger's at a time, and the next must find what the last has left in it.
        return DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None };
    }
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        // Never fewer than asked for while an update goes on.
        rolling_update: Some(RollingUpdateDeployment {
            max_unavailable: Some(IntOrString::Int(0)),
            max_surge: Some(IntOrString::Int(1)),
        }),
    }
}

fn pod_spec(plan: &Plan, service: Service) -> PodSpec {
    let component = plan.component(service);
    let (volumes, mounts) = volumes(plan, service);
    PodSpec {
        service_account_name: Some(plan.child_name(service.name())),
        automount_service_account_token: Some(false),
        // Other Services' addresses as variables are of no use and can clash with ours.
        enable_service_links: Some(false),
        security_context: Some(pod::pod_security(USER)),
        image_pull_secrets: pod::pull_secrets(&plan.image),
        node_selector: (!component.node_selector.is_empty()).then(|| component.node_selector.clone()),
        tolerations: (!component.tolerations.is_empty()).then(|| component.tolerations.clone()),
        affinity: component.affinity.clone(),
        topology_spread_constraints: Some(pod::spread(
            plan,
            service.name(),
            &component.topology_spread_constraints,
        )),
        termination_grace_period_seconds: Some(45),
        containers: vec![container(plan, service, mounts)],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn container(plan: &Plan, service: Service, mounts: Vec<VolumeMount>) -> Container {
    let mut ports = Vec::new();
    if let Some((name, number)) = service.port(&plan.spec) {
        ports.push(pod::port(name, number));
    }
    ports.push(pod::port("metrics", pod::METRICS_PORT));
    let (cpu, memory, limit) = match service {
        Service::Logger => ("50m", "64Mi", "1Gi"),
        Service::Api => ("50m", "128Mi", "1Gi"),
        Service::Checker => ("25m", "64Mi", "256Mi"),
    };
    Container {
        command: Some(vec!["watchkeeper".to_owned(), service.name().to_owned()]),
        env_from: Some(vec![EnvFromSource {
            config_map_ref: Some(ConfigMapEnvSource {
                name: plan.child_name("config"),
                ..ConfigMapEnvSource::default()
            }),
            ..EnvFromSource::default()
        }]),
        env: Some(environment(plan, service)),
        ports: Some(ports),
        resources: Some(pod::resources(plan.component(service).resources.as_ref(), cpu, memory, limit)),
        // Migrations run before the service is alive: they may take their time.
        startup_probe: Some(pod::http_probe("/livez", 2, 150)),
        liveness_probe: Some(pod::http_probe("/livez", 10, 3)),
        readiness_probe: Some(pod::http_probe("/readyz", 5, 2)),
        lifecycle: Some(Lifecycle {
            // Time for everyone to hear that this pod takes no more requests.
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: 5 }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        volume_mounts: Some(mounts),
        ..pod::container(service.name(), &plan.image)
    }
}

fn environment(plan: &Plan, service: Service) -> Vec<EnvVar> {
    let mut all = Vec::new();
    if let Some((_, number)) = service.port(&plan.spec) {
        let name = match service {
            Service::Logger | Service::Api => "WATCHKEEPER_LISTEN",
            Service::Checker => "WATCHKEEPER_BLACKBOX_LISTEN",
        };
        all.push(value(name, format!("0.0.0.0:{number}")));
    }
    all.push(value("WATCHKEEPER_METRICS_LISTEN", format!("0.0.0.0:{}", pod::METRICS_PORT)));
    all.push(secret_value("WATCHKEEPER_DATABASE_URL", &plan.database_url()));
    if matches!(&plan.database, Database::External { ca: Some(_), .. }) {
        all.push(value("WATCHKEEPER_DATABASE_CA", format!("{CA_FOLDER}/ca.pem")));
    }
    if service == Service::Api {
        all.push(value("WATCHKEEPER_ADMIN_TOKEN_FILE", format!("{ADMIN_FOLDER}/token")));
    }
    if reads_site(service) && plan.spec.site.is_some() {
        all.push(value("WATCHKEEPER_SITE_SECRET_FILE", format!("{SITE_FOLDER}/secret")));
    }
    if let (Service::Logger, Some(spool)) = (service, &plan.spec.spool) {
        all.push(value("WATCHKEEPER_SPOOL", format!("{SPOOL_FOLDER}/hits")));
        all.push(value("WATCHKEEPER_SPOOL_BYTES", spool.bytes().to_string()));
    }
    all
}

/// Whether a service knows the website's secret.
fn reads_site(service: Service) -> bool {
    matches!(service, Service::Logger | Service::Api)
}

fn volumes(plan: &Plan, service: Service) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = vec![pod::scratch("tmp", "64Mi")];
    let mut mounts = vec![pod::mount("tmp", "/tmp")];
    if service == Service::Api {
        volumes.push(secret_file("admin", &plan.admin_secret(), "token"));
        mounts.push(pod::mount_read_only("admin", ADMIN_FOLDER));
    }
    if let Database::External { ca: Some(ca), .. } = &plan.database {
        volumes.push(secret_file("database-ca", ca, "ca.pem"));
        mounts.push(pod::mount_read_only("database-ca", CA_FOLDER));
    }
    if let (true, Some(site)) = (reads_site(service), &plan.spec.site) {
        volumes.push(secret_file("site", &site.secret_ref, "secret"));
        mounts.push(pod::mount_read_only("site", SITE_FOLDER));
    }
    if let (Service::Logger, Some(spool)) = (service, &plan.spec.spool) {
        volumes.push(spool_volume(spool));
        mounts.push(pod::mount("spool", SPOOL_FOLDER));
    }
    (volumes, mounts)
}

fn spool_volume(spool: &Spool) -> Volume {
    match &spool.claim_name {
        Some(claim) => Volume {
            name: "spool".to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                ..PersistentVolumeClaimVolumeSource::default()
            }),
            ..Volume::default()
        },
        // A pod that takes more is evicted with all that waits in it: room for what is written beside.
        None => pod::scratch("spool", &(spool.bytes() / 4 * 5).to_string()),
    }
}

pub fn secret_file(volume: &str, secret: &SecretKeyRef, file: &str) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            default_mode: Some(0o440),
            items: Some(vec![KeyToPath {
                key: secret.key.clone(),
                path: file.to_owned(),
                ..KeyToPath::default()
            }]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn value(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() }
}

pub fn secret_value(name: &str, secret: &SecretKeyRef) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.name.clone(),
                key: secret.key.clone(),
                ..SecretKeySelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
