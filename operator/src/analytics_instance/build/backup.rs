//! Copies of the managed database: a CronJob that writes them to a claim of their own, and the
//! init container that makes a new database from one.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource,
    PodSpec, PodTemplateSpec, Volume, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use watchkeeper_crds::SecretKeyRef;
use watchkeeper_crds::backup::{Backup, Restore};

use super::{database, deployment, pod};
use crate::analytics_instance::plan::{DATABASE_PORT, DATABASE_USER, Database, Image, Plan};
use crate::labels;

/// Makes one copy and keeps the newest.
pub const BACKUP_SCRIPT: &str = include_str!("scripts/backup.sh");
/// Makes a database from a copy where there is none.
pub const RESTORE_SCRIPT: &str = include_str!("scripts/restore.sh");
/// Name of the init container that runs [`RESTORE_SCRIPT`].
pub const RESTORE: &str = "restore";

/// Name of this part in labels and object names.
pub const COMPONENT: &str = "backup";
const BACKUPS: &str = "/backups";
const PASSWORD_FOLDER: &str = "/etc/watchkeeper/database";
/// No copy takes this long; one that hangs must not keep the next from being made.
const DEADLINE_SECONDS: i64 = 6 * 3_600;

/// Name of the CronJob of an instance, and of the claim that holds its copies.
#[must_use]
pub fn backup_name(instance: &str) -> String {
    format!("{instance}-{COMPONENT}")
}

/// What the plan says about copies, and the database's image.
pub fn of(plan: &Plan) -> Option<(&Backup, &Image)> {
    match &plan.database {
        Database::Managed { spec, image, .. } => spec.backup.as_ref().map(|backup| (backup, image)),
        Database::External { .. } => None,
    }
}

pub fn build(plan: &Plan) -> Option<CronJob> {
    let (backup, image) = of(plan)?;
    Some(CronJob {
        metadata: plan.meta(backup_name(&plan.name), COMPONENT),
        spec: Some(CronJobSpec {
            schedule: backup.schedule.clone(),
            time_zone: backup.time_zone.clone(),
            suspend: Some(backup.suspend),
            concurrency_policy: Some("Forbid".to_owned()),
            successful_jobs_history_limit: Some(3),
            failed_jobs_history_limit: Some(3),
            job_template: JobTemplateSpec {
                // Started by the schedule or by hand, it is known by these.
                metadata: Some(labelled(plan)),
                spec: Some(JobSpec {
                    backoff_limit: Some(2),
                    active_deadline_seconds: Some(DEADLINE_SECONDS),
                    template: PodTemplateSpec {
                        metadata: Some(labelled(plan)),
                        spec: Some(pod_spec(plan, backup, image)),
                    },
                    ..JobSpec::default()
                }),
            },
            ..CronJobSpec::default()
        }),
        ..CronJob::default()
    })
}

/// The claim that holds the copies. It has no owner: it outlives its instance.
#[must_use]
pub fn backup_claim(plan: &Plan) -> Option<PersistentVolumeClaim> {
    let (backup, _) = of(plan)?;
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(backup_name(&plan.name)),
            namespace: Some(plan.namespace.clone()),
            ..labelled(plan)
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: backup.storage.class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(backup.storage.size.clone()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}

/// The init container that fills an empty data directory, and the volume that it reads.
pub fn restore(plan: &Plan, from: &Restore, image: &Image) -> (Container, Volume) {
    let mut env = database::environment(plan);
    env.push(plain("BACKUPS", BACKUPS));
    env.push(plain("RESTORE_FILE", from.file.as_deref().unwrap_or_default()));
    let mut mounts = database::mounts();
    mounts.push(pod::mount_read_only("backups", BACKUPS));
    let container = Container {
        command: Some(shell(RESTORE_SCRIPT)),
        env: Some(env),
        resources: Some(database::resources(plan)),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts),
        ..pod::container(RESTORE, image)
    };
    (container, claimed("backups", &from.claim_name))
}

fn labelled(plan: &Plan) -> ObjectMeta {
    ObjectMeta { labels: Some(labels::object(&plan.name, COMPONENT)), ..ObjectMeta::default() }
}

fn pod_spec(plan: &Plan, backup: &Backup, image: &Image) -> PodSpec {
    let host = plan.child_name("database");
    let password = SecretKeyRef { name: host.clone(), key: "password".to_owned() };
    PodSpec {
        service_account_name: Some(plan.child_name(COMPONENT)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".to_owned()),
        security_context: Some(pod::pod_security(database::USER)),
        image_pull_secrets: pod::pull_secrets(image),
        containers: vec![Container {
            command: Some(shell(BACKUP_SCRIPT)),
            env: Some(vec![
                plain("PGHOST", &host),
                plain("PGPORT", &DATABASE_PORT.to_string()),
                plain("PGUSER", DATABASE_USER),
                plain("PGDATABASE", DATABASE_USER),
                plain("PGAPPNAME", "watchkeeper-backup"),
                plain("PGCONNECT_TIMEOUT", "10"),
                plain("PASSWORD_FILE", &format!("{PASSWORD_FOLDER}/password")),
                plain("BACKUPS", BACKUPS),
                plain("KEEP", &backup.keep.to_string()),
            ]),
            resources: Some(pod::resources(None, "50m", "64Mi", "512Mi")),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            volume_mounts: Some(vec![
                pod::mount("backups", BACKUPS),
                pod::mount_read_only("password", PASSWORD_FOLDER),
                pod::mount("tmp", "/tmp"),
            ]),
            ..pod::container(COMPONENT, image)
        }],
        volumes: Some(vec![
            claimed("backups", &backup_name(&plan.name)),
            deployment::secret_file("password", &password, "password"),
            pod::scratch("tmp", "16Mi"),
        ]),
        ..PodSpec::default()
    }
}

fn claimed(volume: &str, claim: &str) -> Volume {
    Volume {
        name: volume.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            ..PersistentVolumeClaimVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() }
}
