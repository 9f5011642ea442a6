//! Follows the manifest files: what they say is applied at the start and after every change.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use prometheus::{IntGauge, Registry};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use watchkeeper_checker::ChangeHandle;
use watchkeeper_store::{Origin, Store, StoreError};

use super::{
    data::DataDirectory,
    desired::{Desired, Given, Settings},
    files::Files,
    unread,
};

/// Quiet time after a change before the files are read: editors write in steps.
const SETTLE: Duration = Duration::from_millis(200);

/// Longest wait for such quiet: beside what never stops changing, the files are read all the same.
const LONGEST_SETTLE: Duration = Duration::from_secs(2);

/// Time between looks at what no event tells of: not every file system has them, and a directory that
/// took the place of another is not the one that is watched.
const LOOK: Duration = Duration::from_secs(10);

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

/// Stores what the manifests want. Endpoints that they no longer name are deleted with all that is known of
/// them, if there are `manifests` at all: a start without any is more likely a slip.
pub async fn apply(
    store: &Store,
    data: &DataDirectory,
    desired: &Desired,
    manifests: bool,
) -> anyhow::Result<()> {
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
    let mut left = store.endpoints().await?;
    left.retain(|stored| stored.origin == Origin::Manifest && !kept.contains(stored.uid.as_str()));
    if !manifests && !left.is_empty() {
        let count = left.len();
        tracing::warn!(
            "{count} endpoints of earlier manifests are watched on, since -f names none; with an empty directory \
             it deletes them, and what is known of them"
        );
        return Ok(());
    }
    for stored in left {
        store.delete_endpoint(&stored.uid).await?;
    }
    Ok(())
}

/// The files, and those who want to know of their changes.
pub struct Follow {
    pub files: Files,
    pub given: Given,
    pub data: DataDirectory,
    pub settings: watch::Sender<Settings>,
    pub changes: ChangeHandle,
    /// What is in force; not known while something was applied in part.
    pub last: Option<Desired>,
}

impl Follow {
    /// Starts watching at once; the future then follows until `shutdown`, from the files as they were
    /// first read.
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
        let watcher = watch_directories(&self.files, sender.clone());
        if let Err(error) = &watcher {
            tracing::warn!(%error, "nobody tells when manifests change: they are looked at every {LOOK:?}");
        }
        // The sender, since there are to be no events rather than an end of them.
        Ok(self.follow(store, gauge, (watcher.ok(), sender), events, shutdown))
    }

    async fn follow(
        mut self,
        store: Store,
        gauge: IntGauge,
        _watcher: (Option<RecommendedWatcher>, mpsc::Sender<()>),
        mut events: mpsc::Receiver<()>,
        shutdown: CancellationToken,
    ) {
        let (mut retry, mut pause) = (false, Duration::ZERO);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => {
                    if event.is_none() {
                        return;
                    }
                    settle(&mut events).await;
                }
                () = tokio::time::sleep(std::mem::replace(&mut pause, LOOK)) => {
                    let stamp = self.files.stamp();
                    if !retry && self.files.were_read(&stamp) {
                        continue;
                    }
                    tokio::time::sleep(SETTLE).await;
                    if self.files.stamp() != stamp {
                        // Somebody is writing.
                        pause = SETTLE;
                        continue;
                    }
                }
            }
            let outcome = self.reload(&store).await;
            gauge.set(i64::from(outcome == Outcome::Applied));
            retry = outcome == Outcome::StoreAway;
            pause = if retry { RETRY } else { LOOK };
        }
    }

    async fn reload(&mut self, store: &Store) -> Outcome {
        self.files.read();
        for error in self.files.errors() {
            tracing::error!("a manifest has a mistake, and what it said before stays in force: {error}");
        }
        let read = if self.files.errors().is_empty() { Outcome::Applied } else { Outcome::Mistaken };
        let desired = match Desired::derive(self.files.manifests(), &self.given) {
            Ok(desired) => desired,
            Err(errors) => {
                for error in errors {
                    tracing::error!("the manifests have a mistake, and nothing was changed: {error}");
                }
                return Outcome::Mistaken;
            }
        };
        if self.last.as_ref() == Some(&desired) {
            return read;
        }
        self.last = None;
        if let Err(error) = apply(store, &self.data, &desired, self.files.are_named()).await {
            tracing::error!("the manifests could not be applied: {error:#}");
            return Outcome::StoreAway;
        }
        tracing::info!(endpoints = desired.endpoints.len(), "manifests applied");
        unread::tell(&desired.unread);
        self.settings.send_if_modified(|settings| {
            let changed = *settings != desired.settings;
            settings.clone_from(&desired.settings);
            changed
        });
        self.changes.notify();
        self.last = Some(desired);
        read
    }
}

/// Has the system tell when manifests change.
fn watch_directories(files: &Files, sender: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = event.as_ref().is_ok_and(|event| event.kind.is_access());
        if !read_only {
            // One event that waits is enough: everything is read again.
            let _ = sender.try_send(());
        }
    })?;
    let directories: BTreeSet<PathBuf> = files.directories().into_iter().collect();
    for directory in directories {
        watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Waits until no event comes any more.
async fn settle(events: &mut mpsc::Receiver<()>) {
    let end = Instant::now() + LONGEST_SETTLE;
    while Instant::now() < end {
        match tokio::time::timeout(SETTLE, events.recv()).await {
            Ok(Some(())) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use watchkeeper_crds::manifest::parse;

    use super::*;
    use crate::cli::{Cli, Command};

    #[tokio::test]
    async fn a_start_without_manifests_deletes_nothing_that_earlier_ones_declared() {
        let directory = tempfile::tempdir().expect("directory");
        let data = DataDirectory::open(directory.path()).expect("data");
        let store = Store::open(&data.sqlite()).await.expect("store");
        let cli = Cli::try_parse_from(["watchkeeper", "local"]).expect("a command line");
        let Command::Local(args) = cli.command else { panic!("not local") };
        let apply = async |text: &str, manifests: bool| {
            let read = parse(text).expect("manifests");
            let desired = Desired::derive(read.iter(), &Given::new(&args)).expect("desired");
            super::apply(&store, &data, &desired, manifests).await.expect("applied");
            store.endpoints().await.expect("endpoints").into_iter().map(|it| it.id).collect::<Vec<_>>()
        };
        let endpoint = "apiVersion: watchkeeper.dev/v1alpha1\nkind: MonitoredEndpoint\nmetadata: {name: front}\n\
                        spec: {instanceRef: {name: main}, http: {url: https://example.com/}}\n";
        let made = apply(endpoint, true).await;
        assert_eq!(made.len(), 1);
        assert_eq!(apply("", false).await, made);
        assert_eq!(apply(endpoint, true).await, made);
        assert_eq!(apply("", true).await, Vec::<i64>::new());
    }
}
