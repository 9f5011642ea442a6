//! What the OpenAPI document says of a website's data.
#![allow(dead_code)] // The functions stand for routes that share their handlers, the types for parameters.

use utoipa::{IntoParams, OpenApi};

/// What a website's owner may ask for.
#[derive(OpenApi)]
#[openapi(paths(
    paths::users,
    paths::views,
    paths::sessions,
    paths::countries,
    paths::cities,
    paths::urls,
    paths::hostnames,
    paths::statistics,
    paths::query,
))]
pub(crate) struct SiteAnalyticsDoc;

/// A range of days.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Days {
    /// First day, YYYY-MM-DD.
    start_date: String,
    /// First day that no longer counts.
    end_date: String,
}

#[rustfmt::skip]
mod paths {
    use super::Days;

    /// Counts distinct users by week.
    #[utoipa::path(get, path = "/api/v1/data/users", tag = "site-analytics", security(("site_secret" = [])),
        params(Days, ("classification" = Option<String>, Query, description = "USER or BOT")),
        responses((status = 200, description = "Rows of date, user and bot, or of quantity and date", body = Vec<Object>),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn users() {}

    /// Counts views by week.
    #[utoipa::path(get, path = "/api/v1/data/views", tag = "site-analytics", security(("site_secret" = [])),
        params(Days, ("classification" = Option<String>, Query, description = "USER or BOT")),
        responses((status = 200, description = "Rows of date, user and bot, or of quantity and date", body = Vec<Object>),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn views() {}

    /// Counts sessions by the week in which they began.
    #[utoipa::path(get, path = "/api/v1/data/sessions", tag = "site-analytics", security(("site_secret" = [])),
        params(Days, ("classification" = Option<String>, Query, description = "USER or BOT"),
            ("timeout" = Option<u32>, Query, description = "Seconds without a view that end a session")),
        responses((status = 200, description = "Rows of date, user and bot, or of quantity and date", body = Vec<Object>),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn sessions() {}

    /// Counts views by country, most first.
    #[utoipa::path(get, path = "/api/v1/data/countries", tag = "site-analytics", security(("site_secret" = [])),
        params(Days, ("classification" = String, Query, description = "USER or BOT")),
        responses((status = 200, description = "Rows of country and value", body = Vec<Object>),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn countries() {}

    /// Counts views by city, most first.
    #[utoipa::path(get, path = "/api/v1/data/cities", tag = "site-analytics", security(("site_secret" = [])),
        params(Days, ("classification" = String, Query, description = "USER or BOT")),
        responses((status = 200, description = "Rows of city and value", body = Vec<Object>),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn cities() {}

    /// Counts views by URL as it was posted, most first.
    #[utoipa::path(get, path = "/api/v1/data/urls", tag = "site-analytics", security(("site_secret" = [])),
        params(Days, ("classification" = String, Query, description = "USER or BOT")),
        responses((status = 200, description = "Rows of url and value", body = Vec<Object>),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn urls() {}

    /// Counts views by the domain of the visitor's host name, most first.
    #[utoipa::path(get, path = "/api/v1/data/hostnames", tag = "site-analytics", security(("site_secret" = [])),
        params(Days, ("classification" = String, Query, description = "USER or BOT")),
        responses((status = 200, description = "Rows of hostname and value", body = Vec<Object>),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn hostnames() {}

    /// Counts views or users by group and resolution.
    #[utoipa::path(get, path = "/api/v1/data/statistics", tag = "site-analytics", security(("site_secret" = [])),
        params(("query_on" = String, Query, description = "People or Bots"), ("count_what" = String, Query, description = "Views or Users"),
            ("group_what" = String, Query, description = "Nothing, Country, City, Region, Url, Domain, OperatingSystem, Device, DeviceType or Browser"),
            ("resolution" = String, Query, description = "All, Day, Week, Month or Year"),
            ("start_date" = Option<String>, Query, description = "First day, MM-DD-YYYY"),
            ("end_date" = Option<String>, Query, description = "First day that no longer counts")),
        responses((status = 200, description = "Rows of quantity, date and key", body = Vec<Object>),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn statistics() {}

    /// Counts views in buckets of so many seconds, at most 1,000 of them.
    #[utoipa::path(get, path = "/api/v1/data/query", tag = "site-analytics", security(("site_secret" = [])),
        params(("start_time" = String, Query, description = "ISO 8601; UTC without a zone"), ("end_time" = String, Query, description = "First moment that no longer counts"),
            ("time_bucket" = u32, Query, description = "Seconds"),
            ("group_by" = Option<String>, Query, description = "As group_what of statistics; Unset for none"),
            ("filter_by" = Option<String>, Query, description = "Unset, Humans or Bots")),
        responses((status = 200, description = "all_keys and buckets", body = Object),
            (status = 400, description = "Text that names each field at fault"), (status = 401, description = "The bare Authorization header opens nothing")))]
    pub fn query() {}
}
