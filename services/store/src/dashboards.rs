//! What a project's owner has set about its dashboard.

use serde::{Deserialize, Serialize};

use crate::{ProjectId, Result, Store};

/// Settings of one dashboard. What an older release does not know it ignores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DashboardSettings {
    /// Paths that are left out, with `*` for any characters.
    pub hidden: Vec<String>,
    /// Whether robots are left out.
    pub hide_bots: bool,
    /// Whether answers with status 404 are left out.
    pub hide_not_found: bool,
    /// IANA name of the zone unless the reader chooses another; UTC without one.
    pub zone: Option<String>,
}

impl Store {
    /// The settings of a project's dashboard; the defaults where nothing was set.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dashboard_settings(&self, project: ProjectId) -> Result<DashboardSettings> {
        let found: Option<String> =
            sqlx::query_scalar("SELECT settings FROM dashboards WHERE project_id = $1")
                .bind(project.0)
                .fetch_optional(self.db.read())
                .await?;
        Ok(found.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
    }

    /// Sets the settings of a project's dashboard.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_dashboard_settings(
        &self,
        project: ProjectId,
        settings: &DashboardSettings,
    ) -> Result<()> {
        sqlx::query(include_str!("../sql/dashboards/put.sql"))
            .bind(project.0)
            .bind(serde_json::to_string(settings)?)
            .execute(self.db.write())
            .await?;
        Ok(())
    }
}
