//! The channels, a folder each. All of them send to addresses that the
//! installation's owner wrote, so private networks are theirs to name.

mod alertmanager;
mod discord;
mod email;
mod ntfy;
mod opsgenie;
mod pagerduty;
mod slack;
mod teams;
mod telegram;
mod webhook;

use watchkeeper_crds::notifications::Channel;

use crate::{failure::Failure, http::Http, message::Message};

/// Sends a message through the one type that a channel has.
///
/// # Errors
/// What went wrong, without any secret, and whether it may be tried again.
pub async fn send(http: &Http, channel: &Channel, message: &Message) -> Result<(), Failure> {
    let sent = if let Some(config) = &channel.email {
        email::send(config, message).await
    } else if let Some(config) = &channel.webhook {
        webhook::send(http, config, message).await
    } else if let Some(config) = &channel.slack {
        slack::send(http, config, message).await
    } else if let Some(config) = &channel.discord {
        discord::send(http, config, message).await
    } else if let Some(config) = &channel.teams {
        teams::send(http, config, message).await
    } else if let Some(config) = &channel.telegram {
        telegram::send(http, config, message).await
    } else if let Some(config) = &channel.pagerduty {
        pagerduty::send(http, config, message).await
    } else if let Some(config) = &channel.opsgenie {
        opsgenie::send(http, config, message).await
    } else if let Some(config) = &channel.ntfy {
        ntfy::send(http, config, message).await
    } else if let Some(config) = &channel.alertmanager {
        alertmanager::send(http, config, message).await
    } else {
        Err(Failure::permanent("the channel has no type; set exactly one"))
    };
    sent.map_err(|failure| {
        let mut channel = channel.clone();
        let secrets: Vec<String> =
            channel.secrets_mut().into_iter().filter_map(|kept| kept.value.take()).collect();
        failure.without(secrets.iter().map(String::as_str))
    })
}
