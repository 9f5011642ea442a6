//! The managed database: one Postgres in a StatefulSet.

use std::{collections::BTreeMap, iter};

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, ExecAction, Lifecycle, LifecycleHandler, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use watchkeeper_crds::SecretKeyRef;
use watchkeeper_crds::analytics_instance::{ManagedDatabase, Reclaim};

use super::{backup, deployment, pod};
use crate::analytics_instance::diff::salted;
use crate::analytics_instance::plan::{DATABASE_PORT, DATABASE_USER, Database, Image, Plan};
use crate::labels;

const COMPONENT: &str = "database";
/// The `postgres` user of the official image.
pub const USER: i64 = 999;
const DATA: &str = "/var/lib/postgresql/data";

/// Gives an existing data directory the password of today. The password lives in a
/// Secret that goes with the instance, the data in a volume that stays: an instance
/// that is made anew must be able to open it.
pub const ADOPT_SCRIPT: &str = r#"set -eu
if [ -s "$PGDATA/PG_VERSION" ]; then
  # A volume that was restored or copied may have got group access, which Postgres refuses.
  chmod 00700 "$PGDATA" || :
  # The Secret is anybody's to write, and the operator looks only later whether it can be used. What means
  # something in SQL or in a URL must not get in; and how many of a range there are depends on the locale.
  export LC_ALL=C
  case "$POSTGRES_PASSWORD" in
    *[!-A-Za-z0-9._~]*) odd=1 ;;
    *) odd= ;;
  esac
  if [ -n "$odd" ] || [ "${#POSTGRES_PASSWORD}" -lt 8 ] || [ "${#POSTGRES_PASSWORD}" -gt 128 ]; then
    echo "the password in the Secret is not of 8 to 128 letters, digits and -._~; the one of before stays" >&2
    exit 0
  fi
  printf "ALTER ROLE \"%s\" PASSWORD '%s'\n" "$POSTGRES_USER" "$POSTGRES_PASSWORD" |
    postgres --single -D "$PGDATA" postgres > /dev/null
fi
"#;

/// Name of the volume claim of an instance's database.
#[must_use]
pub fn claim_name(instance: &str) -> String {
    format!("data-{instance}-database-0")
}

pub fn build(plan: &Plan) -> Option<StatefulSet> {
    let Database::Managed { spec, image, .. } = &plan.database else {
        return None;
    };
    let name = plan.child_name(COMPONENT);
    let selector = labels::selector(&plan.name, COMPONENT);
    Some(StatefulSet {
        metadata: plan.meta(name.clone(), COMPONENT),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            // An ordered set never replaces a pod that cannot become ready, even when its template is mended.
            pod_management_policy: Some("Parallel".to_owned()),
            service_name: Some(name),
            revision_history_limit: Some(3),
            selector: LabelSelector { match_labels: Some(selector.clone()), ..LabelSelector::default() },
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(
                    match spec.storage.reclaim {
                        Reclaim::Retain => "Retain",
                        Reclaim::Delete => "Delete",
                    }
                    .to_owned(),
                ),
                when_scaled: Some("Retain".to_owned()),
            }),
            volume_claim_templates: Some(vec![claim(spec, selector)]),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels::object(&plan.name, COMPONENT)),
                    annotations: Some([(labels::CONFIG_HASH.to_owned(), password_hash(plan))].into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(plan, spec, image)),
            },
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}

/// Only what the database itself uses: it must not restart because a token changed.
fn password_hash(plan: &Plan) -> String {
    match &plan.database {
        Database::Managed { password, .. } => salted(&plan.salt, password),
        Database::External { .. } => String::new(),
    }
}

fn claim(spec: &ManagedDatabase, selector: BTreeMap<String, String>) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".to_owned()),
            labels: Some(selector),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: spec.storage.class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(spec.storage.size.clone()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// The server is told to end the connections that it has: on the signal of the runtime alone, an image
/// that says nothing else waits for all of them to end by themselves.
const STOP: &str = r#"pg_ctl --pgdata="$PGDATA" --mode=fast --no-wait stop"#;

fn pod_spec(plan: &Plan, spec: &ManagedDatabase, image: &Image) -> PodSpec {
    let mut init_containers = vec![Container {
        command: Some(backup::shell(ADOPT_SCRIPT)),
        env: Some(environment(plan)),
        resources: Some(resources(plan)),
        volume_mounts: Some(mounts()),
        ..pod::container("adopt", image)
    }];
    let mut volumes = vec![pod::scratch("run", "16Mi"), pod::scratch("tmp", "256Mi")];
    if let Database::Managed { restore: Some(restore), .. } = &plan.database {
        let (container, volume) = backup::restore(plan, restore, image);
        init_containers.insert(0, container);
        volumes.push(volume);
    }
    PodSpec {
        service_account_name: Some(plan.child_name(COMPONENT)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod::pod_security(USER)),
        image_pull_secrets: pod::pull_secrets(image),
        // Time for a checkpoint, so that the next start needs no recovery.
        termination_grace_period_seconds: Some(120),
        init_containers: Some(init_containers),
        containers: vec![Container {
            args: Some(arguments(&spec.parameters)),
            env: Some(environment(plan)),
            ports: Some(vec![pod::port("postgres", DATABASE_PORT)]),
            resources: Some(resources(plan)),
            lifecycle: Some(Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    exec: Some(ExecAction { command: Some(backup::shell(STOP)) }),
                    ..LifecycleHandler::default()
                }),
                ..Lifecycle::default()
            }),
            // Recovery after a crash can take minutes and must not be cut off.
            startup_probe: Some(answers(5, 360)),
            liveness_probe: Some(answers(10, 6)),
            readiness_probe: Some(answers(5, 2)),
            volume_mounts: Some(mounts()),
            ..pod::container("postgres", image)
        }],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

/// What the server is started with unless something else is asked for.
const OWN_PARAMETERS: [(&str, &str); 2] = [
    // What its own processes write, those that clean up above all, goes to the disk as it is written. By
    // itself the kernel begins half a minute later, with all of it at once, and commits wait meanwhile.
    ("backend_flush_after", "512kB"),
    // Ten for each pod: enough for thirty, also while they are replaced.
    ("max_connections", "300"),
];

fn arguments(parameters: &BTreeMap<String, String>) -> Vec<String> {
    let own = OWN_PARAMETERS.iter().filter(|(name, _)| !parameters.contains_key(*name)).copied();
    let asked = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let set = |(name, value)| ["-c".to_owned(), format!("{name}={value}")];
    iter::once("postgres".to_owned()).chain(own.chain(asked).flat_map(set)).collect()
}

/// CPU and memory of everything that runs in the database's pod.
pub fn resources(plan: &Plan) -> ResourceRequirements {
    let asked = match &plan.database {
        Database::Managed { spec, .. } => spec.resources.as_ref(),
        Database::External { .. } => None,
    };
    pod::resources(asked, "100m", "256Mi", "1Gi")
}

pub fn environment(plan: &Plan) -> Vec<EnvVar> {
    let plain = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    };
    vec![
        plain("POSTGRES_USER", DATABASE_USER),
        plain("POSTGRES_DB", DATABASE_USER),
        // A folder below the volume: the volume's own may hold `lost+found`.
        plain("PGDATA", &format!("{DATA}/pgdata")),
        deployment::secret_value(
            "POSTGRES_PASSWORD",
            &SecretKeyRef { name: plan.child_name(COMPONENT), key: "password".to_owned() },
        ),
    ]
}

pub fn mounts() -> Vec<VolumeMount> {
    vec![pod::mount("data", DATA), pod::mount("run", "/var/run/postgresql"), pod::mount("tmp", "/tmp")]
}

fn answers(period: i32, failures: i32) -> Probe {
    let command = ["pg_isready", "-q", "-h", "127.0.0.1", "-U", DATABASE_USER, "-d", DATABASE_USER];
    Probe {
        exec: Some(ExecAction { command: Some(command.map(str::to_owned).to_vec()) }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
