//! Endpoints by number: what is made, changed and deleted by programs rather than declared.

use crate::{
    Endpoint, NewEndpoint, Origin, Result, Store,
    endpoints::{next, put, select},
};

/// What [`Store::change_endpoint`] did.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is as wanted; this is what it is now.
    Made(Box<Endpoint>),
    /// There is none of that number.
    NoSuch,
    /// Another of that origin and project has the name.
    NameTaken(String),
    /// It has another origin and was left alone.
    Foreign(Box<Endpoint>),
}

impl Store {
    /// The endpoint of a number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn endpoint(&self, id: i64) -> Result<Option<Endpoint>> {
        let mut transaction = self.db.snapshot().await?;
        Ok(select(&mut transaction, "id = $1", id).await?.into_iter().next())
    }

    /// The endpoint of a uid.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn endpoint_by_uid(&self, uid: &str) -> Result<Option<Endpoint>> {
        let mut transaction = self.db.snapshot().await?;
        Ok(select(&mut transaction, "uid = $1", uid).await?.into_iter().next())
    }

    /// Changes name and specification of an endpoint of `origin`, while nobody else does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_endpoint(
        &self,
        id: i64,
        origin: Origin,
        change: impl FnOnce(&mut NewEndpoint) + Send,
    ) -> Result<Change> {
        let mut transaction = self.begin_brief().await?;
        // First of all, so that two who change the same wait for each other.
        let seq = next(&mut transaction, "endpoints").await?;
        let Some(old) = select(&mut transaction, "id = $1", id).await?.into_iter().next() else {
            return Ok(Change::NoSuch);
        };
        if old.origin != origin {
            return Ok(Change::Foreign(Box::new(old)));
        }
        let mut new = NewEndpoint {
            uid: old.uid.clone(),
            origin,
            project: old.project,
            namespace: old.namespace.clone(),
            name: old.name.clone(),
            generation: old.generation,
            spec: old.spec.clone(),
        };
        change(&mut new);
        if new.name != old.name {
            let others = select(&mut transaction, "project_id = $1", old.project.0).await?;
            if others.iter().any(|other| other.origin == origin && other.name == new.name) {
                return Ok(Change::NameTaken(new.name));
            }
        }
        put(&mut transaction, seq, &new).await?;
        let made = select(&mut transaction, "id = $1", id).await?.into_iter().next();
        transaction.commit().await?;
        Ok(made.map_or(Change::NoSuch, |endpoint| Change::Made(Box::new(endpoint))))
    }

    /// Makes failures before `now` count no more for the breakers of endpoints.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reset_breakers(&self, ids: &[i64], now: i64) -> Result<()> {
        let mut transaction = self.begin_brief().await?;
        for id in ids {
            sqlx::query("UPDATE endpoints SET breaker_reset_at = $2 WHERE id = $1")
                .bind(id)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
