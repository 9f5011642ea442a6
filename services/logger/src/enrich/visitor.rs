//! Visitor ids: a keyed hash that tells visitors of one project apart within
//! one UTC day and says nothing else.
//!
//! The salt is derived from the installation's key and the day, at every
//! privacy level, so two days' ids of one person cannot be linked by anyone
//! who does not hold the key, and an id never depends on which level was set
//! when. Distinct visitors over several days are therefore visitor-days.

use std::net::IpAddr;
use std::sync::RwLock;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The secret behind visitor ids, with the last day's salt at hand.
pub(super) struct VisitorKey {
    key: [u8; 32],
    today: RwLock<(i64, [u8; 32])>,
}

impl VisitorKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, today: RwLock::new((0, daily_salt(&key, 0))) }
    }

    /// See [`super::Enricher::visitor`].
    pub(super) fn id(
        &self,
        day: i64,
        project: i64,
        ip: Option<IpAddr>,
        ua: Option<&str>,
        user: Option<&str>,
    ) -> Option<u64> {
        let user = user.filter(|user| !user.is_empty());
        let mut mac = keyed(&self.salt(day));
        mac.update(&project.to_be_bytes());
        match (user, ip) {
            // A user id names the visitor better than any address: the same
            // person on a phone and a laptop is one visitor.
            (Some(user), _) => {
                mac.update(b"u");
                mac.update(user.as_bytes());
            }
            (None, Some(ip)) => {
                mac.update(b"i");
                // Fixed width, so that address and agent cannot run together.
                let ip = match ip.to_canonical() {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                };
                mac.update(&ip.octets());
                mac.update(ua.unwrap_or_default().as_bytes());
            }
            // A user agent alone is shared by millions.
            (None, None) => return None,
        }
        let hash = mac.finalize().into_bytes();
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        Some(u64::from_be_bytes(id))
    }

    fn salt(&self, day: i64) -> [u8; 32] {
        // Holding on to yesterday's salt after a panic elsewhere is harmless:
        // the pair inside is only ever replaced whole.
        let held = *self.today.read().unwrap_or_else(|held| held.into_inner());
        if held.0 == day {
            return held.1;
        }
        let salt = daily_salt(&self.key, day);
        *self.today.write().unwrap_or_else(|held| held.into_inner()) = (day, salt);
        salt
    }
}

fn daily_salt(key: &[u8; 32], day: i64) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(b"watchkeeper visitor salt");
    mac.update(&day.to_be_bytes());
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 under a key of 32 bytes, padded to the hash's block here so
/// that the infallible constructor serves.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    Hmac::<Sha256>::new((&block).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 20_000;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn id(day: i64, project: i64, host: u8, ua: &str) -> Option<u64> {
        VisitorKey::new([1; 32]).id(day, project, ip(host), Some(ua), None)
    }

    #[test]
    fn the_same_visitor_keeps_its_id_for_a_day() {
        assert!(id(DAY, 1, 1, "a").is_some());
        assert_eq!(id(DAY, 1, 1, "a"), id(DAY, 1, 1, "a"));
    }

    #[test]
    fn another_day_project_address_or_agent_is_another_id() {
        let all = [
            id(DAY, 1, 1, "a"),
            id(DAY + 1, 1, 1, "a"),
            id(DAY, 2, 1, "a"),
            id(DAY, 1, 2, "a"),
            id(DAY, 1, 1, "b"),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn another_key_gives_other_ids() {
        let one = VisitorKey::new([1; 32]).id(DAY, 1, ip(1), None, None);
        let two = VisitorKey::new([2; 32]).id(DAY, 1, ip(1), None, None);
        assert_ne!(one, two);
    }

    #[test]
    fn a_user_is_one_visitor_wherever_they_come_from() {
        let key = VisitorKey::new([1; 32]);
        let phone = key.id(DAY, 1, ip(1), Some("phone"), Some("ann"));
        let laptop = key.id(DAY, 1, ip(2), Some("laptop"), Some("ann"));
        let other = key.id(DAY, 1, ip(1), Some("phone"), Some("bob"));
        assert_eq!(phone, laptop);
        assert_ne!(phone, other);
    }

    #[test]
    fn nothing_to_go_by_is_no_visitor() {
        let key = VisitorKey::new([1; 32]);
        assert_eq!(key.id(DAY, 1, None, Some("Firefox"), None), None);
        assert_eq!(key.id(DAY, 1, None, None, Some("")), None);
    }

    #[test]
    fn a_mapped_address_is_the_same_visitor_as_the_plain_one() {
        let key = VisitorKey::new([1; 32]);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(key.id(DAY, 1, ip(1), None, None), key.id(DAY, 1, Some(mapped), None, None));
    }

    #[test]
    fn late_hits_of_another_day_do_not_disturb_todays_ids() {
        let key = VisitorKey::new([1; 32]);
        let today = key.id(DAY, 1, ip(1), None, None);
        assert_ne!(key.id(DAY - 1, 1, ip(1), None, None), today);
        assert_eq!(key.id(DAY, 1, ip(1), None, None), today);
    }
}
