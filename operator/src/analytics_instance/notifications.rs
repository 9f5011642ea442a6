//! Tells an instance's API about the channels of its notices, secrets in place.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use watchkeeper_crds::AnalyticsInstance;
use watchkeeper_crds::notifications::{Channel, Kept, Notifications};

use super::dereference::trimmed;
use super::diff::hash;
use super::projects::{Registered, count};
use crate::context::{Context, Error};
use crate::monitored_endpoint::push::ApiClient;

/// Tells the channels of an instance, once for each set of them. Of a channel whose Secret is missing
/// only the name is told, by which the API knows that nobody hears what goes there.
///
/// # Errors
/// What is missing, or what the API says.
pub async fn tell(
    context: &Context,
    registered: &Registered,
    instance: &AnalyticsInstance,
    api: &ApiClient,
) -> Result<(), Error> {
    let key = format!("{} notifications", instance.uid().unwrap_or_default());
    let (notifications, left_out, missing) = dereference(context, instance).await?;
    let mut value =
        serde_json::to_value(&notifications).map_err(|error| Error::InvalidSpec(error.to_string()))?;
    if !left_out.is_empty() {
        value["missing"] = serde_json::json!(left_out);
    }
    let set = hash(&value.to_string());
    if !registered.has(&key, &set) {
        let told = api.put_notifications(&value).await;
        count(context, "put_notifications", told.is_ok());
        match told {
            Ok(()) => registered.set(&key, set),
            // Without channels there is nothing to tell that an API which does not answer, or one of
            // the release before, would miss; what was there before is taken back when it answers.
            Err(_) if notifications.channels.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
    }
    missing.map_or(Ok(()), Err)
}

/// The channels with every text in the place of its reference; the names of those left out, and whether
/// each is a default one; and what the first of them lacks.
async fn dereference(
    context: &Context,
    instance: &AnalyticsInstance,
) -> Result<(Notifications, BTreeMap<String, bool>, Option<Error>), Error> {
    let namespace = instance.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let mut notifications = instance.spec.notifications.clone();
    let (mut left_out, mut missing) = (BTreeMap::new(), None);
    let mut whole = Vec::with_capacity(notifications.channels.len());
    for mut channel in notifications.channels {
        match resolve(&secrets, &mut channel).await? {
            None => whole.push(channel),
            Some(error) => {
                left_out.insert(channel.name, channel.default);
                missing = missing.or(Some(error));
            }
        }
    }
    notifications.channels = whole;
    Ok((notifications, left_out, missing))
}

/// Puts the texts of a channel in place, or tells what it lacks.
async fn resolve(secrets: &Api<Secret>, channel: &mut Channel) -> Result<Option<Error>, Error> {
    let name = channel.name.clone();
    for Kept { field, value, source } in channel.secrets_mut() {
        let Some(source) = source.take() else { continue };
        let Some(reference) = source.secret_key_ref else {
            return Ok(Some(Error::InvalidSpec(format!(
                "spec.notifications.channels: {field} of {name}: env and file are for `watchkeeper local` alone; use secretKeyRef"
            ))));
        };
        let secret = secrets.get_opt(&reference.name).await?;
        let Some(text) = secret.and_then(|secret| trimmed(&secret, &reference.key)) else {
            return Ok(Some(Error::SecretMissing { name: reference.name, key: reference.key }));
        };
        *value = Some(text);
    }
    Ok(None)
}

/// Whether a channel of an instance takes something from a Secret.
#[must_use]
pub fn refers(instance: &AnalyticsInstance, secret: &str) -> bool {
    instance.spec.notifications.channels.iter().any(|channel| {
        channel.clone().secrets_mut().iter().any(|kept| {
            let reference = kept.source.as_ref().and_then(|source| source.secret_key_ref.as_ref());
            reference.is_some_and(|reference| reference.name == secret)
        })
    })
}
