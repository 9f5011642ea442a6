//! From `spec.notifications` of an AnalyticsInstance to what the store keeps.

use std::collections::BTreeSet;

use watchkeeper_crds::notifications::{Notifications, SecretSource};
use watchkeeper_store::alerts::Channel;

use crate::endpoint_spec::{SpecError, windows};

/// Translates the channels. `find` gives the text that a reference stands for.
///
/// # Errors
/// When a reference leads nowhere, or a name or a window cannot be used.
pub fn channels(
    notifications: &Notifications,
    mut find: impl FnMut(&SecretSource) -> Result<String, String>,
) -> Result<Vec<Channel>, SpecError> {
    let mut names = BTreeSet::new();
    notifications
        .channels
        .iter()
        .enumerate()
        .map(|(index, channel)| {
            let at = format!("spec.notifications.channels[{index}]");
            if !names.insert(channel.name.as_str()) {
                let message = format!("`{}` is there twice; rename one", channel.name);
                return Err(SpecError { field: format!("{at}.name"), message });
            }
            let mut resolved = channel.clone();
            resolved
                .resolve(&mut find)
                .map_err(|(field, message)| SpecError { field: format!("{at}.{field}"), message })?;
            let config = serde_json::to_value(&resolved)
                .map_err(|_| SpecError { field: at.clone(), message: "it cannot be stored".into() })?;
            Ok(Channel {
                name: channel.name.clone(),
                kind: channel.kind().to_owned(),
                default: channel.default,
                group_wait: notifications.group_wait.get(),
                cooldown: notifications.cooldown.get(),
                send_recovery: channel.send_recovery.unwrap_or(notifications.send_recovery),
                quiet_hours: windows(&format!("{at}.quietHours"), &channel.quiet_hours)?,
                attempts: None,
                pause: None,
                config,
            })
        })
        .collect()
}
