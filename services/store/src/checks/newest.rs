//! The newest checks of several endpoints at one moment, which reads the batches that are not sealed
//! yet once for all of them.

use std::collections::HashMap;

use super::read::{read, sealed, unsealed};
use crate::{Endpoint, LastCheck, Result, Store};

impl Store {
    /// The newest checks of each endpoint, by id, that started from its moment up to, not including, `to`
    /// (UTC milliseconds): `limit` at most, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_checks(
        &self,
        endpoints: &[(&Endpoint, i64)],
        to: i64,
        limit: usize,
    ) -> Result<HashMap<i64, Vec<LastCheck>>> {
        let mut all = HashMap::new();
        let Some(earliest) = endpoints.iter().map(|(_, from)| *from).min() else { return Ok(all) };
        let mut transaction = self.db.snapshot().await?;
        let mut waiting: HashMap<i64, Vec<_>> = HashMap::new();
        for check in unsealed(&mut transaction, None, earliest, to).await? {
            waiting.entry(check.endpoint).or_default().push(check.result);
        }
        for (endpoint, from) in endpoints {
            let within = |check: &LastCheck| (*from..to).contains(&check.at);
            let mut found = waiting.remove(&endpoint.id).unwrap_or_default();
            found.retain(within);
            found.reverse();
            if found.len() < limit {
                let segments = sealed(&mut transaction, endpoint.project, endpoint.id, *from, to).await?;
                for segment in segments.iter().rev() {
                    if found.len() >= limit {
                        break;
                    }
                    let checks =
                        read(&mut transaction, endpoint.project, endpoint.id, segment.first_due).await?;
                    found.extend(checks.into_iter().rev().map(|check| check.result).filter(within));
                }
            }
            found.truncate(limit);
            all.insert(endpoint.id, found);
        }
        Ok(all)
    }
}
