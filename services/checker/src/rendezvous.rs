//! Who should probe what: every replica comes to the same answer from the same
//! view. A shard goes to the live replica with the highest hash of both, so
//! that one more or one less moves no shard between two others.

use std::collections::BTreeSet;

use watchkeeper_store::{Replica, View};

/// What follows from a view for one replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Shards that it owns and keeps.
    pub keep: BTreeSet<i64>,
    /// Shards that should be its own and are nobody's.
    pub claim: Vec<i64>,
    /// Shards that it owns and another should.
    pub release: Vec<i64>,
}

/// What the replica of `term` should do. It counts itself as alive, whatever the view says.
pub(crate) fn plan(view: &View, term: i64) -> Plan {
    let live: Vec<&Replica> = view
        .replicas
        .iter()
        .filter(|replica| replica.term == term || !replica.expires_in.is_zero())
        .collect();
    let mut plan = Plan::default();
    for (shard, owner) in (0_i64..).zip(&view.shards) {
        let best = live.iter().max_by_key(|replica| (weight(&replica.holder, shard), replica.term));
        let mine = best.is_some_and(|best| best.term == term);
        let owned = owner.is_some_and(|owner| live.iter().any(|replica| replica.term == owner));
        match (mine, *owner == Some(term)) {
            (true, true) => drop(plan.keep.insert(shard)),
            (false, true) => plan.release.push(shard),
            (true, false) if !owned => plan.claim.push(shard),
            _ => {}
        }
    }
    plan
}

/// FNV-1a over both, stirred by the finish of SplitMix64: the same in every build.
fn weight(holder: &str, shard: i64) -> u64 {
    let bytes = holder.bytes().chain(shard.to_le_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIVE: Duration = Duration::from_secs(5);

    fn replica(name: &str, term: i64, expires_in: Duration) -> Replica {
        Replica { holder: name.into(), term, expires_in }
    }

    fn shards(plan: &Plan) -> BTreeSet<i64> {
        plan.keep.iter().chain(&plan.claim).copied().collect()
    }

    #[test]
    fn replicas_divide_all_shards_about_evenly_and_without_a_word() {
        let replicas = vec![replica("a", 1, LIVE), replica("b", 2, LIVE), replica("c", 3, LIVE)];
        let view = View { replicas, shards: vec![None; 256] };
        let parts: Vec<BTreeSet<i64>> = (1..=3).map(|term| shards(&plan(&view, term))).collect();
        assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), 256);
        assert_eq!(parts.iter().flatten().collect::<BTreeSet<_>>().len(), 256);
        for part in &parts {
            assert!((60..115).contains(&part.len()), "{} of 256", part.len());
        }
    }

    #[test]
    fn what_a_dead_replica_owned_is_claimed_and_nothing_else_moves() {
        let mut view = View {
            replicas: vec![replica("a", 1, LIVE), replica("b", 2, LIVE), replica("c", 3, LIVE)],
            shards: vec![None; 256],
        };
        for term in 1..=3 {
            for shard in plan(&view, term).claim {
                view.shards[usize::try_from(shard).expect("small")] = Some(term);
            }
        }
        view.replicas[1].expires_in = Duration::ZERO;
        let of_b: BTreeSet<i64> =
            (0..).zip(&view.shards).filter(|(_, owner)| **owner == Some(2)).map(|(shard, _)| shard).collect();
        let (a, c) = (plan(&view, 1), plan(&view, 3));
        assert!(a.release.is_empty() && c.release.is_empty());
        assert_eq!(a.claim.iter().chain(&c.claim).copied().collect::<BTreeSet<_>>(), of_b);
    }

    #[test]
    fn a_newcomer_is_given_its_part_and_takes_nothing_from_the_living() {
        let view =
            View { replicas: vec![replica("a", 1, LIVE), replica("b", 2, LIVE)], shards: vec![Some(1); 256] };
        let (a, b) = (plan(&view, 1), plan(&view, 2));
        assert!(b.claim.is_empty(), "the owner has not released them yet");
        assert!((90..166).contains(&a.release.len()), "{}", a.release.len());
        assert_eq!(a.keep.len() + a.release.len(), 256);
    }
}
