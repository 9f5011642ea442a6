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

use crate::{
    failure::{Failure, Untaken},
    http::Http,
    message::{Item, Message},
};

/// Sends a message through the one type that a channel has. Returns what of it was not taken, each part
/// with what went wrong, without any secret, and whether it may be tried again.
pub async fn send(http: &Http, channel: &Channel, message: &Message) -> Vec<Untaken> {
    let mut untaken = if let Some(config) = &channel.pagerduty {
        pagerduty::send(http, config, message).await
    } else if let Some(config) = &channel.opsgenie {
        opsgenie::send(http, config, message).await
    } else {
        let places = (0..message.items.len()).collect();
        let failed = send_whole(http, channel, message).await.err();
        failed.map(|failure| Untaken { places, failure }).into_iter().collect()
    };
    if !untaken.is_empty() {
        let mut channel = channel.clone();
        let secrets: Vec<String> =
            channel.secrets_mut().into_iter().filter_map(|kept| kept.value.take()).collect();
        for part in &mut untaken {
            part.failure = part.failure.clone().without(secrets.iter().map(String::as_str));
        }
    }
    untaken
}

/// Sends a message of which all is taken or nothing.
async fn send_whole(http: &Http, channel: &Channel, message: &Message) -> Result<(), Failure> {
    if let Some(config) = &channel.email {
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
    } else if let Some(config) = &channel.ntfy {
        ntfy::send(http, config, message).await
    } else if let Some(config) = &channel.alertmanager {
        alertmanager::send(http, config, message).await
    } else {
        Err(Failure::permanent("the channel has no type; set exactly one"))
    }
}

/// Sends what takes a request for each endpoint. One that is refused holds up no other; a server that
/// cannot be reached, or is busy, is asked no further.
async fn one_by_one<'a, F>(message: &'a Message, send: impl Fn(&'a Item) -> F) -> Vec<Untaken>
where
    F: Future<Output = Result<Vec<u8>, Failure>>,
{
    let mut untaken = Vec::new();
    for (place, item) in message.items.iter().enumerate() {
        match send(item).await {
            Ok(_) => {}
            Err(failure) if failure.permanent => untaken.push(Untaken { places: vec![place], failure }),
            Err(failure) => {
                untaken.push(Untaken { places: (place..message.items.len()).collect(), failure });
                break;
            }
        }
    }
    untaken
}
