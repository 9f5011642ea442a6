//! Tells an instance's API about the channels of its notices, secrets in place.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use watchkeeper_crds::AnalyticsInstance;
use watchkeeper_crds::notifications::{Channel, Kept, Notifications};

use super::dereference::trimmed;
use super::diff::hash;
use super::projects::{Registered, count};
use crate::context::{Context, Error};
use crate::monitored_endpoint::push::ApiClient;

/// Tells the channels of an instance, once for each set of them. A channel whose Secret is missing
/// is left out, and the others are told all the same.
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
    let (notifications, missing) = dereference(context, instance).await?;
    let value =
        serde_json::to_value(&notifications).map_err(|error| Error::InvalidSpec(error.to_string()))?;
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

/// The channels with every text in the place of its reference, and what the first of those left out lacks.
async fn dereference(
    context: &Context,
    instance: &AnalyticsInstance,
) -> Result<(Notifications, Option<Error>), Error> {
    let namespace = instance.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let mut notifications = instance.spec.notifications.clone();
    let mut missing = None;
    let mut whole = Vec::with_capacity(notifications.channels.len());
    for mut channel in notifications.channels {
        match resolve(&secrets, &mut channel).await? {
            None => whole.push(channel),
            Some(error) => missing = missing.or(Some(error)),
        }
    }
    notifications.channels = whole;
    Ok((notifications, missing))
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
