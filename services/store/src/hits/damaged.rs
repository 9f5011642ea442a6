//! Batches of an inbox that cannot be read: they are set aside, so that the others are sealed and read.

use crate::{ProjectId, Result, Store, StoreError, background::background, codec::Reader, now_ms};

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
    use crate::{Hit, testing::on_both};

    on_both! { a_damaged_batch_is_set_aside_and_all_others_are_sealed }

    async fn a_damaged_batch_is_set_aside_and_all_others_are_sealed(store: &Store) {
        let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
        let append = async |ts| {
            let hit = Hit { ts, path: Some("/".into()), ..Hit::default() };
            store.append(project, vec![hit]).await.expect("append");
        };
        for ts in 0..3 {
            append(ts).await;
        }
        let damaged = vec![7_u8; 100];
        sqlx::query("UPDATE inbox SET data = $1 WHERE project_id = $2 AND min_ts = 1")
            .bind(damaged.clone())
            .bind(project.0)
            .execute(store.db.write())
            .await
            .expect("damage");
        assert!(matches!(store.seal_all().await, Err(StoreError::Damaged(_))), "it is told once");
        assert_eq!(store.seal_all().await.expect("seal"), 2);
        append(5).await;
        assert_eq!(store.seal_all().await.expect("seal"), 1);
        let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
        let times: Vec<i64> = snapshot.load(0).await.expect("load").iter().map(|hit| hit.ts).collect();
        assert_eq!(times, [0, 2, 5]);
        let kept = sqlx::query_scalar("SELECT data FROM damaged_batches WHERE project_id = $1");
        let kept: Vec<u8> = kept.bind(project.0).fetch_one(store.db.read()).await.expect("it is kept");
        assert_eq!(kept, damaged);
    }
}
