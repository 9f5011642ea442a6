//! Follows the manifest files: what they say is applied at the start and after every change.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use notify::{RecursiveMode, Watcher};
use prometheus::{IntGauge, Registry};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use watchkeeper_checker::ChangeHandle;
use watchkeeper_store::{Origin, Store, StoreError};

use super::{
    data::DataDirectory,
    desired::{Desired, Settings},
    files::Files,
    unread,
};

/// Quiet time after a change before the files are read: editors write in steps.
const SETTLE: Duration = Duration::from_millis(200);

/// Pause before manifests are applied again that the store did not take.
const RETRY: Duration = Duration::from_secs(5);

/// What came of reading the files again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything is in force.
    Applied,
    /// Some files have mistakes; only another change of them helps.
    Mistaken,
    /// The store did not take it; trying again may help.
    StoreAway,
}

/// Stores what the manifests want, and deletes the endpoints that they no longer name.
pub async fn apply(store: &Store, data: &DataDirectory, desired: &Desired) -> anyhow::Result<()> {
    for project in &desired.projects {
        let key = match project.key {
            Some(key) => key,
            None => data.project_key(&project.name)?,
        };
        match store.put_project(&project.name, key).await {
            Err(StoreError::KeyTaken) => tracing::error!(
                project = project.name,
                "the project is left as it is, since its key is another named project's; give it a key of its own"
            ),
            done => drop(done?),
        }
        if let (Some(settings), Some(found)) = (project.settings, store.project_by_name(&project.name).await?)
        {
            store.set_project_settings(found.id, settings).await?;
        }
    }
    store.put_channels(&desired.channels).await?;
    let mut kept = BTreeSet::new();
    for endpoint in &desired.endpoints {
        store.put_endpoint(endpoint).await?;
        kept.insert(endpoint.uid.as_str());
    }
    for stored in store.endpoints().await? {
        if stored.origin == Origin::Manifest && !kept.contains(stored.uid.as_str()) {
            store.delete_endpoint(&stored.uid).await?;
        }
    }
    Ok(())
}

/// The files, and those who want to know of their changes.
pub struct Follow {
    pub files: Files,
    pub fallback: Settings,
    pub data: DataDirectory,
    pub settings: watch::Sender<Settings>,
    pub changes: ChangeHandle,
    pub last: Desired,
}

impl Follow {
    /// Starts watching at once, so that no change after the first reading is
    /// missed; the future then follows until `shutdown`.
    pub fn run(
        self,
        store: Store,
        registry: Registry,
        shutdown: CancellationToken,
    ) -> anyhow::Result<impl Future<Output = ()> + use<>> {
        let gauge = IntGauge::new(
            "watchkeeper_local_manifests_last_reload_successful",
            "Whether all manifests were applied when they were last read.",
        )?;
        gauge.set(1);
        registry.register(Box::new(gauge.clone()))?;
        let (sender, events) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let read_only = event.as_ref().is_ok_and(|event| event.kind.is_access());
            if !read_only {
                // One event that waits is enough: everything is read again.
                let _ = sender.try_send(());
            }
        })?;
        let directories: BTreeSet<PathBuf> = self.files.directories().into_iter().collect();
        for directory in directories {
            watcher.watch(&directory, RecursiveMode::NonRecursive)?;
        }
        Ok(self.follow(store, gauge, watcher, events, shutdown))
    }

    async fn follow(
        mut self,
        store: Store,
        gauge: IntGauge,
        _watcher: impl Watcher,
        mut events: mpsc::Receiver<()>,
        shutdown: CancellationToken,
    ) {
        let mut retry = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => if event.is_none() { return },
                () = tokio::time::sleep(RETRY), if retry => {}
            }
            while let Ok(Some(())) = tokio::time::timeout(SETTLE, events.recv()).await {}
            let outcome = self.reload(&store).await;
            gauge.set(i64::from(outcome == Outcome::Applied));
            retry = outcome == Outcome::StoreAway;
        }
    }

    async fn reload(&mut self, store: &Store) -> Outcome {
        self.files.read();
        for error in self.files.errors() {
            tracing::error!("a manifest has a mistake, and what it said before stays in force: {error}");
        }
        let read = if self.files.errors().is_empty() { Outcome::Applied } else { Outcome::Mistaken };
        let desired = match Desired::derive(self.files.manifests(), &self.fallback) {
            Ok(desired) => desired,
            Err(errors) => {
                for error in errors {
                    tracing::error!("the manifests have a mistake, and nothing was changed: {error}");
                }
                return Outcome::Mistaken;
            }
        };
        if desired == self.last {
            return read;
        }
        if let Err(error) = apply(store, &self.data, &desired).await {
            tracing::error!("the manifests could not be applied: {error:#}");
            return Outcome::StoreAway;
        }
        tracing::info!(endpoints = desired.endpoints.len(), "manifests applied");
        unread::tell(&desired.unread);
        self.changes.notify();
        self.settings.send_if_modified(|settings| {
            let changed = *settings != desired.settings;
            settings.clone_from(&desired.settings);
            changed
        });
        self.last = desired;
        read
    }
}
