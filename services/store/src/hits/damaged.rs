//! Batches of an inbox that cannot be read: they are set aside, so that the others are sealed, and passed
//! over until then, so that the others are read.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::columns::{BatchId, unpanicked};
use crate::{Hit, ProjectId, Result, Store, StoreError, background::background, codec::Reader, now_ms};

/// Which were told of, by project and number: whoever asks about a project comes upon them each time.
static TOLD: Mutex<BTreeSet<(i64, i64)>> = Mutex::new(BTreeSet::new());

impl BatchId {
    /// Passes over a batch of the inbox that is damaged, so that it hides no other hit of its project, and
    /// says so once. A seal sets it aside.
    ///
    /// # Errors
    /// `error` itself when it is another than [`StoreError::Damaged`], or the batch is a sealed one: nothing
    /// sets that aside, and whoever asks has to know that a day lacks hits.
    pub fn pass_over(self, project: ProjectId, error: StoreError) -> Result<()> {
        match (self, error) {
            (Self::Unsealed(id), StoreError::Damaged(reason)) => {
                let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
                if told.insert((project.0, id)) {
                    tracing::error!(
                        project = project.0,
                        batch = id,
                        %reason,
                        "a batch of hits is damaged; answers lack its hits"
                    );
                }
                Ok(())
            }
            (_, error) => Err(error),
        }
    }
}

/// Gives the hits of a file to `each`, some at a time, until it says `false`, which is told. Of a damaged
/// batch of the inbox those are given that come before the damage.
pub(super) fn give_each(
    (project, id): (ProjectId, BatchId),
    file: Vec<u8>,
    columns: Option<&[&str]>,
    mut each: impl FnMut(Vec<Hit>) -> bool,
) -> Result<bool> {
    let mut reader = match unpanicked(|| Reader::open(file.into(), columns)) {
        Ok(reader) => reader,
        Err(error) => return id.pass_over(project, error).map(|()| true),
    };
    loop {
        match unpanicked(|| reader.next()) {
            Ok(None) => return Ok(true),
            Ok(Some(hits)) => {
                if !each(hits) {
                    return Ok(false);
                }
            }
            Err(error) => return id.pass_over(project, error).map(|()| true),
        }
    }
}

impl Store {
    /// Sets those aside that cannot be read among the batches that the next seal of a project takes.
    pub(super) async fn set_damaged_aside(&self, project: ProjectId) -> Result<()> {
        for (id, data) in self.oldest_unsealed(project).await? {
            // One at a time: what reads it may not even come to an error.
            match background(move || read(data)).await {
                Err(StoreError::Damaged(reason)) => self.set_aside(project, id, &reason).await?,
                result => result?,
            }
        }
        Ok(())
    }

    async fn set_aside(&self, project: ProjectId, id: i64, reason: &str) -> Result<()> {
        let mut transaction = self.db.begin().await?;
        sqlx::query(include_str!("../../sql/hits/set_aside.sql"))
            .bind(project.0)
            .bind(id)
            .bind(now_ms())
            .execute(&mut *transaction)
            .await?;
        let deleted = sqlx::query("DELETE FROM inbox WHERE project_id = $1 AND id = $2")
            .bind(project.0)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        // It has gone meanwhile, with its project or by its age.
        if deleted.rows_affected() == 0 {
            return Ok(());
        }
        transaction.commit().await?;
        tracing::error!(
            project = project.0,
            batch = id,
            %reason,
            "a batch of hits is damaged; it is set aside in the table damaged_batches"
        );
        Ok(())
    }
}

fn read(data: Vec<u8>) -> Result<()> {
    let mut reader = Reader::open(data.into(), None)?;
    while reader.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Day, testing::on_both};

    on_both! {
        a_damaged_batch_is_set_aside_and_all_others_are_sealed
        a_damaged_batch_hides_no_other_hit_and_a_damaged_segment_is_told
    }

    async fn append(store: &Store, project: ProjectId, ts: i64) {
        let hit = Hit { ts, path: Some("/".into()), ..Hit::default() };
        store.append(project, vec![hit]).await.expect("append");
    }

    /// A project with three batches of a hit each, of which the second has become `data`.
    async fn damaged(store: &Store, data: &[u8]) -> ProjectId {
        let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
        for ts in 0..3 {
            append(store, project, ts).await;
        }
        sqlx::query("UPDATE inbox SET data = $1 WHERE project_id = $2 AND min_ts = 1")
            .bind(data.to_vec())
            .bind(project.0)
            .execute(store.db.write())
            .await
            .expect("damage");
        project
    }

    async fn a_damaged_batch_hides_no_other_hit_and_a_damaged_segment_is_told(store: &Store) {
        let project = damaged(store, &[7; 100]).await;
        let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
        assert_eq!(snapshot.days(), [Day { day: 0, rows: 2 }]);
        let times = |hits: Vec<Hit>| hits.into_iter().map(|hit| hit.ts).collect::<Vec<_>>();
        assert_eq!(times(snapshot.load(0).await.expect("load")), [0, 2]);
        drop(snapshot);
        let arrived = store.arrivals(project, 0, 10, |_| true).await.expect("arrivals");
        assert_eq!(times(arrived.hits), [0, 2]);

        assert!(store.seal_all().await.is_err(), "it is set aside");
        assert_eq!(store.seal_all().await.expect("seal"), 2);
        let sql = "UPDATE segments SET data = $1 WHERE project_id = $2";
        let damage = sqlx::query(sql).bind(vec![7_u8; 100]).bind(project.0);
        damage.execute(store.db.write()).await.expect("damage");
        let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
        assert!(matches!(snapshot.load(0).await, Err(StoreError::Damaged(_))));
    }

    async fn a_damaged_batch_is_set_aside_and_all_others_are_sealed(store: &Store) {
        let data = vec![7_u8; 100];
        let project = damaged(store, &data).await;
        assert!(matches!(store.seal_all().await, Err(StoreError::Damaged(_))), "it is told once");
        assert_eq!(store.seal_all().await.expect("seal"), 2);
        append(store, project, 5).await;
        assert_eq!(store.seal_all().await.expect("seal"), 1);
        let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
        let times: Vec<i64> = snapshot.load(0).await.expect("load").iter().map(|hit| hit.ts).collect();
        assert_eq!(times, [0, 2, 5]);
        let kept = sqlx::query_scalar("SELECT data FROM damaged_batches WHERE project_id = $1");
        let kept: Vec<u8> = kept.bind(project.0).fetch_one(store.db.read()).await.expect("it is kept");
        assert_eq!(kept, data);
    }
}
