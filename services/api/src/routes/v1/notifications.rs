//! `/api/v1/notifications`: the channels of the installation, as the operator puts
//! them from the manifest of the instance.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use http::StatusCode;
use serde_json::{Value, json};
use watchkeeper_crds::notifications::SecretSource;
use watchkeeper_crds::{
    AnalyticsInstance,
    manifest::{self, Manifest},
};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::alerts::Channel;

use crate::{
    Api,
    auth::Admin,
    channel_spec::channels,
    routes::{ErrorView, payload::Payload, store_error},
};

/// Lists the channels by name and type; what they are told with stays untold.
#[utoipa::path(
    get,
    path = "/api/v1/notifications",
    tag = "notices",
    responses(
        (status = 200, description = "The channels", body = Object, example = json!({
            "channels": [{ "name": "ops", "type": "slack", "default": true, "sendRecovery": true }],
        })),
        (status = 401, description = "Not the administrator", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn get(_: Admin, State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let channels = api.store.channels().await.map_err(|e| store_error(&e))?;
    let shown: Vec<Value> = channels
        .into_iter()
        .map(|channel| {
            json!({
                "name": channel.name,
                "type": channel.kind,
                "default": channel.default,
                "sendRecovery": channel.send_recovery,
            })
        })
        .collect();
    Ok(Json(json!({ "channels": shown })))
}

/// Puts all channels: `spec.notifications` of an AnalyticsInstance, its Secrets resolved.
#[utoipa::path(
    put,
    path = "/api/v1/notifications",
    tag = "notices",
    request_body(content = Object, example = json!({
        "channels": [{ "name": "ops", "slack": { "url": { "value": "https://hooks.slack.example/…" } } }],
    })),
    responses(
        (status = 200, description = "Put; `changed` says whether they were others", body = Object, example = json!({ "changed": false })),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn put(
    _: Admin,
    State(api): State<Api>,
    Payload(body): Payload,
) -> Result<Json<Value>, ApiError> {
    let unprocessable =
        |field: &str, message: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(field);
    // Where the error stands is told, what stands there may be secret.
    let mut notifications: Value = serde_json::from_slice(&body).map_err(|e| {
        unprocessable("", format!("The body is no JSON, at line {} column {}.", e.line(), e.column()))
    })?;
    let missing = missing(&mut notifications)
        .map_err(|message| unprocessable("spec.notifications.missing", message))?;
    let instance = judge(&notifications).map_err(|(field, message)| unprocessable(&field, message))?;
    let unresolved = |_: &SecretSource| Err("put the text itself in the place of its reference".to_owned());
    let mut channels = channels(&instance.spec.notifications, unresolved)
        .map_err(|error| unprocessable(&error.field, error.message))?;
    for (name, default) in missing {
        if channels.iter().all(|channel| channel.name != name) {
            channels.push(Channel::missing(name, default));
        }
    }
    let changed = api.store.put_channels(&channels).await.map_err(|e| store_error(&e))?;
    Ok(Json(json!({ "changed": changed })))
}

/// Takes out, under `missing`, the channels that lack something such as their Secret: their names, and
/// whether endpoints that name no channels use them.
fn missing(notifications: &mut Value) -> Result<BTreeMap<String, bool>, String> {
    let taken = notifications.as_object_mut().and_then(|fields| fields.remove("missing"));
    taken.map_or(Ok(BTreeMap::new()), serde_json::from_value).map_err(|_| {
        "write names of channels and whether each is a default one, such as {\"ops\": true}".to_owned()
    })
}

/// Judges the channels by the rules of the kind: the API server's, here again.
fn judge(notifications: &Value) -> Result<AnalyticsInstance, (String, String)> {
    let object = json!({
        "apiVersion": format!("{}/{}", watchkeeper_crds::GROUP, watchkeeper_crds::VERSION),
        "kind": "AnalyticsInstance",
        "metadata": { "name": "put" },
        "spec": { "notifications": notifications },
    });
    // JSON is YAML.
    let parsed = manifest::parse(&object.to_string()).map_err(|errors| match errors.into_iter().next() {
        Some(error) if error.fix.is_empty() => (error.path, error.message),
        Some(error) => (error.path, format!("{}; {}", error.message, error.fix)),
        None => (String::new(), "The channels are not valid.".into()),
    })?;
    match parsed.into_iter().next() {
        Some(Manifest::AnalyticsInstance(instance)) => Ok(*instance),
        _ => Err((String::new(), "The channels are not valid.".into())),
    }
}
