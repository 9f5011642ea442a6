//! Writing a file of hits anew without some of them, in memory that does not grow with it.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::merge::{Merged, spread};
use crate::{
    Hit, Result,
    codec::{Encoder, Reader},
};

/// A file that others were taken out of.
#[derive(Debug)]
pub(super) struct Remainder {
    /// What is left, in the file's order; `None` when that is nothing.
    pub left: Option<Merged>,
    /// Hits that were taken out.
    pub gone: u64,
}

/// Takes the hits out of a file that `goes` says; `None` when it has none of them. `columns` are those
/// that tell, and are read first: most files hold nothing of one person.
pub(super) fn without(
    file: Vec<u8>,
    columns: &[&str],
    goes: impl Fn(&Hit) -> bool,
) -> Result<Option<Remainder>> {
    let file = Bytes::from(file);
    let (mut all, mut gone) = (0, 0);
    let mut reader = Reader::open(file.clone(), Some(columns))?;
    while let Some(hits) = reader.next()? {
        all += hits.len();
        gone += hits.iter().filter(|hit| goes(hit)).count();
    }
    if gone == 0 {
        return Ok(None);
    }
    let left = if gone < all { Some(rest(file, |hit| !goes(hit))?) } else { None };
    Ok(Some(Remainder { left, gone: gone as u64 }))
}

/// The hits of a file that stay.
fn rest(file: Bytes, stays: impl Fn(&Hit) -> bool) -> Result<Merged> {
    let mut reader = Reader::open(file.clone(), None)?;
    let columns: BTreeSet<&str> = reader.columns().collect();
    let mut encoder = Encoder::new(&columns, &spread(&[file])?, reader.longest())?;
    let mut rest = Merged::empty();
    while let Some(mut hits) = reader.next()? {
        hits.retain(|hit| stays(hit));
        rest.count(&hits);
        encoder.write(&hits)?;
    }
    rest.data = encoder.finish()?;
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, Purpose};

    fn hits(count: i64) -> Vec<Hit> {
        let user = |n| Some(if n % 3 == 0 { "ann".to_owned() } else { format!("u{n}") });
        // As they arrive, in no order of time.
        (0..count).map(|n| Hit { ts: n * 7 % 1_000, user: user(n), ..Hit::default() }).collect()
    }

    fn anns(hit: &Hit) -> bool {
        hit.user.as_deref() == Some("ann")
    }

    #[test]
    fn what_is_left_of_a_long_file_is_all_else_in_its_order() {
        for purpose in [Purpose::Inbox, Purpose::Segment] {
            let mut hits = hits(20_000);
            let file = codec::encode(&hits, purpose).expect("encode");
            let Remainder { left, gone } = without(file, &["user"], anns).expect("read").expect("some go");
            hits.retain(|hit| !anns(hit));
            let left = left.expect("some stay");
            assert_eq!((gone, left.rows), (6_667, 13_333));
            assert_eq!((left.min_ts, left.max_ts), (0, 999));
            assert_eq!(codec::decode(left.data).expect("decode"), hits);
        }
    }

    #[test]
    fn a_file_of_others_stays_as_it_is_and_one_of_nobody_else_goes() {
        let file = |hits: &[Hit]| codec::encode(hits, Purpose::Segment).expect("encode");
        let hits = hits(300);
        let (anns_own, others): (Vec<Hit>, Vec<Hit>) = hits.into_iter().partition(anns);
        assert!(without(file(&others), &["user"], anns).expect("read").is_none());
        let taken = without(file(&anns_own), &["user"], anns).expect("read").expect("some go");
        assert!(taken.gone == 100 && taken.left.is_none());
        // One that says nothing of users.
        assert!(without(file(&[Hit::default()]), &["user"], anns).expect("read").is_none());
    }
}
