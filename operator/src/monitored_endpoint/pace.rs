//! How much is done at once of what could be done all the time, or for ten thousand endpoints in a row.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use futures::Stream;
use tokio::sync::broadcast;

/// Time between two portions of endpoints.
pub const BEAT: Duration = Duration::from_secs(1);

/// Portions that are through before so much time has passed: what has come to be known at once grows old
/// at once, and ten thousand writes in a row would keep transitions waiting.
pub fn portions(uids: &[String], time: Duration) -> Vec<HashSet<String>> {
    let beats = usize::try_from(time.as_secs() / BEAT.as_secs() * 4 / 5).unwrap_or(usize::MAX).max(1);
    let size = uids.len().div_ceil(beats).max(1);
    uids.chunks(size).map(|portion| portion.iter().cloned().collect()).collect()
}

/// What a channel says, gathered from the first word on for some time; `None` when some of it was missed.
pub fn gathered<T: Clone + Eq + Hash + Send + 'static>(
    channel: broadcast::Receiver<T>,
    time: Duration,
) -> impl Stream<Item = Option<HashSet<T>>> + Send + 'static {
    futures::stream::unfold(channel, move |mut channel| async move {
        let mut words = HashSet::new();
        let mut whole = true;
        let mut next = Ok(channel.recv().await);
        let end = tokio::time::Instant::now() + time;
        loop {
            match next {
                Ok(Ok(word)) => {
                    words.insert(word);
                }
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => whole = false,
                // What was gathered before is still to be told.
                Ok(Err(broadcast::error::RecvError::Closed)) if words.is_empty() && whole => return None,
                Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => break,
            }
            next = tokio::time::timeout_at(end, channel.recv()).await;
        }
        Some((whole.then_some(words), channel))
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[test]
    fn what_has_only_grown_old_is_written_little_by_little_and_before_the_next_comparison() {
        let sizes = |count: usize, seconds: u64| -> Vec<usize> {
            let uids: Vec<_> = (0..count).map(|number| number.to_string()).collect();
            portions(&uids, Duration::from_secs(seconds)).iter().map(HashSet::len).collect()
        };
        let many = sizes(10_000, 300);
        assert_eq!(many.iter().sum::<usize>(), 10_000);
        assert!(many.len() <= 240 && many.iter().all(|size| *size <= 42), "{many:?}");
        assert_eq!(sizes(2, 300), [1, 1]);
        assert_eq!(sizes(3, 0), [3]);
        assert!(sizes(0, 300).is_empty());
    }

    #[tokio::test]
    async fn what_is_said_without_a_pause_is_heard_all_the_same() {
        let (say, channel) = broadcast::channel(16);
        let mut heard = std::pin::pin!(gathered(channel, Duration::from_millis(20)));
        let speak = async {
            while say.send("shop").is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let first = tokio::select! {
            first = heard.next() => first,
            () = speak => None,
        };
        assert_eq!(first, Some(Some(["shop"].into())));
    }

    #[tokio::test]
    async fn all_that_is_said_within_the_time_is_told_once_and_missed_words_are_not_hidden() {
        let (say, channel) = broadcast::channel(2);
        let mut heard = std::pin::pin!(gathered(channel, Duration::from_millis(1)));
        for word in ["a", "b"] {
            say.send(word).unwrap();
        }
        assert_eq!(heard.next().await, Some(Some(["a", "b"].into())));
        for word in ["a", "b", "c"] {
            say.send(word).unwrap();
        }
        assert_eq!(heard.next().await, Some(None));
        say.send("d").unwrap();
        drop(say);
        assert_eq!(heard.next().await, Some(Some(["d"].into())));
        assert_eq!(heard.next().await, None);
    }
}
