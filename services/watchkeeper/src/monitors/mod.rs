//! `watchkeeper import monitors`: from another monitor's configuration to MonitoredEndpoint manifests.
//! What has no translation is told, a line each, and never dropped in silence.

mod gatus;
mod kuma;
mod kuma_fields;
mod manifest;
mod monitoring;
mod variables;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_api::endpoint_spec::is_heartbeat_token;

use crate::{
    cli::{ImportMonitorsArgs, MonitorsFrom},
    yaml,
};
use manifest::{Draft, Target};

/// What was read: drafts of manifests, and what could not be translated.
#[derive(Debug, Default)]
struct Translation {
    drafts: Vec<Draft>,
    notes: Vec<String>,
}

impl Translation {
    /// Notes what was lost of one thing.
    fn note(&mut self, what: impl std::fmt::Display, why: impl std::fmt::Display) {
        self.notes.push(format!("{what}: {why}"));
    }
}

/// Sets a heartbeat. Its caller has to call another address anyhow, so that a token which would be refused
/// here gives way to a new one.
fn heartbeat(token: &str, told: &str, draft: &mut Draft, translation: &mut Translation) {
    let token = match is_heartbeat_token(token) {
        true => token.to_owned(),
        false => {
            translation.note(
                told,
                "its token has not 16 to 256 letters, digits, - and _: a new one is in the Secret",
            );
            Uuid::new_v4().simple().to_string()
        }
    };
    let reference = draft.secret("token", token);
    draft.set("heartbeat", json!({ "token": { "valueFrom": { "secretKeyRef": reference } } }));
    translation.note(told, "its caller must call this installation's /api/v1/heartbeats/<token> now");
}

pub fn run(args: &ImportMonitorsArgs) -> anyhow::Result<()> {
    let text = fs::read_to_string(&args.file).with_context(|| args.file.display().to_string())?;
    let target = Target { instance: args.instance.clone(), namespace: args.namespace.clone() };
    let (manifests, notes) = translate(&text, args.from, &target)?;
    for note in &notes {
        eprintln!("not translated: {note}");
    }
    match &args.output {
        Some(file) => write(file, &manifests).with_context(|| file.display().to_string())?,
        None => std::io::stdout().write_all(manifests.as_bytes())?,
    }
    if args.strict && !notes.is_empty() {
        bail!("{} settings were not translated, and --strict was given", notes.len());
    }
    Ok(())
}

/// Writes a file that its owner alone may read where it is new: there are Secrets in it.
fn write(file: &Path, manifests: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    file.write_all(manifests.as_bytes())
}

/// The manifests as YAML, and what was lost.
fn translate(
    text: &str,
    from: Option<MonitorsFrom>,
    target: &Target,
) -> anyhow::Result<(String, Vec<String>)> {
    let document = yaml::read(text).context("neither YAML nor JSON")?;
    let translation = match from.or_else(|| recognise(&document)) {
        Some(MonitorsFrom::ApiMonitoringSystem) => monitoring::translate(text, &document)?,
        Some(MonitorsFrom::Gatus) => gatus::translate(&document)?,
        Some(MonitorsFrom::UptimeKuma) => kuma::translate(&document)?,
        None => bail!(
            "this is no configuration that is known; say what it is by --from: api-monitoring-system, gatus \
             or uptime-kuma"
        ),
    };
    let Translation { drafts, mut notes } = translation;
    let manifests = manifest::write(drafts, target, &mut notes);
    Ok((manifests, notes))
}

/// Tells the three apart by what each alone has.
fn recognise(document: &Value) -> Option<MonitorsFrom> {
    if document.get("monitorList").is_some() {
        return Some(MonitorsFrom::UptimeKuma);
    }
    let of_gatus = |key: &str| {
        let endpoints = document.get("endpoints").and_then(Value::as_array);
        endpoints.is_some_and(|all| all.iter().any(|endpoint| endpoint.get(key).is_some()))
    };
    if of_gatus("conditions") || document.get("external-endpoints").is_some() {
        return Some(MonitorsFrom::Gatus);
    }
    document.get("endpoints").map(|_| MonitorsFrom::ApiMonitoringSystem)
}

#[cfg(test)]
mod tests;
