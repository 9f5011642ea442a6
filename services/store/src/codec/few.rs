//! Few hits: the columns that they know something about, in the [Postcard] format. What a file of Parquet
//! says of itself would be ten times as much as one hit.
//!
//! [Postcard]: https://postcard.jamesmunns.com/wire-format

use serde::{Deserialize, Serialize};

use super::{COLUMNS, Column, set_known};
use crate::{Hit, Result, StoreError};

/// What the data begins with; a file of Parquet begins with `PAR1`.
const MAGIC: &[u8] = b"HIT1";

/// Columns of the same hits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Few<'a> {
    #[serde(borrow)]
    columns: Vec<(&'a str, Values<'a>)>,
}

/// Values of a column, one a hit. What kind they are is stored as the place in this list: new kinds come last.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Values<'a> {
    Texts(#[serde(borrow)] Vec<Option<&'a str>>),
    Integers(Vec<Option<i64>>),
    Flags(Vec<Option<bool>>),
}

impl<'a> Values<'a> {
    fn of(column: &Column, hits: &'a [Hit]) -> Self {
        match column {
            Column::Text(get, _) => Self::Texts(hits.iter().map(get).collect()),
            Column::Integer(get, _) => Self::Integers(hits.iter().map(get).collect()),
            Column::Flag(get, _) => Self::Flags(hits.iter().map(get).collect()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Flags(values) => values.len(),
        }
    }

    fn known(&self) -> bool {
        match self {
            Self::Texts(values) => values.iter().any(Option::is_some),
            Self::Integers(values) => values.iter().any(Option::is_some),
            Self::Flags(values) => values.iter().any(Option::is_some),
        }
    }
}

impl<'a> Few<'a> {
    /// Reads data that is of few hits; `None` when it is something else.
    pub fn read(data: &'a [u8]) -> Result<Option<Self>> {
        let Some(columns) = data.strip_prefix(MAGIC) else { return Ok(None) };
        let (few, rest) = postcard::take_from_bytes::<Self>(columns).map_err(damaged)?;
        let rows = few.values("ts").map(Values::len);
        if !rest.is_empty() || few.columns.iter().any(|(_, values)| Some(values.len()) != rows) {
            return Err(damaged("its columns are not of the same hits"));
        }
        Ok(Some(few))
    }

    /// How many hits there are.
    pub fn rows(&self) -> usize {
        self.values("ts").map_or(0, Values::len)
    }

    /// The columns that something is known about.
    pub fn names(&self) -> Vec<&'static str> {
        COLUMNS.iter().map(|(name, _)| *name).filter(|name| self.values(name).is_some()).collect()
    }

    /// The values of a column, unless nothing is known about it.
    pub fn values(&self, name: &str) -> Option<&Values<'a>> {
        self.columns.iter().find_map(|(column, values)| (*column == name).then_some(values))
    }

    /// The hits in their order: every column, or only those that are `wanted`, with all else unknown.
    pub fn hits(&self, wanted: Option<&[&str]>) -> Result<Vec<Hit>> {
        let mut hits = Vec::new();
        hits.resize_with(self.rows(), Hit::default);
        for (name, column) in COLUMNS {
            let Some(values) = self.values(name) else { continue };
            if wanted.is_some_and(|wanted| !wanted.contains(name)) {
                continue;
            }
            match (column, values) {
                (Column::Text(_, set), Values::Texts(values)) => {
                    set_known(&mut hits, values.iter().copied(), |hit, value| set(hit, value.to_owned()));
                }
                (Column::Integer(_, set), Values::Integers(values)) => {
                    set_known(&mut hits, values.iter().copied(), set);
                }
                (Column::Flag(_, set), Values::Flags(values)) => {
                    set_known(&mut hits, values.iter().copied(), set);
                }
                _ => return Err(damaged(format!("column {name} is of another kind"))),
            }
        }
        Ok(hits)
    }
}

/// Writes hits in their order.
pub(super) fn write(hits: &[Hit]) -> Result<Vec<u8>> {
    let columns = COLUMNS.iter().map(|(name, column)| (*name, Values::of(column, hits)));
    let columns = columns.filter(|(name, values)| *name == "ts" || values.known()).collect();
    postcard::to_extend(&Few { columns }, MAGIC.to_vec()).map_err(damaged)
}

fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("a batch of few hits: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// As a batch of other columns would be.
    fn written(columns: Vec<(&str, Values<'_>)>) -> Vec<u8> {
        postcard::to_extend(&Few { columns }, MAGIC.to_vec()).expect("write")
    }

    fn times(times: &[i64]) -> Values<'static> {
        Values::Integers(times.iter().copied().map(Some).collect())
    }

    proptest! {
        #[test]
        fn junk_behind_the_right_beginning_never_panics(junk in vec(any::<u8>(), 0..200)) {
            if let Ok(Some(few)) = Few::read(&[MAGIC, &junk].concat()) {
                let _ = few.hits(None);
            }
        }
    }

    #[test]
    fn a_hit_takes_little_more_than_its_values() {
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        let hit = Hit {
            ts: 1_790_035_200_123,
            method: Some("GET".into()),
            path: Some("/v1/items/7".into()),
            status: Some(200),
            duration_us: Some(1_234),
            user_agent: Some(agent.into()),
            ..Hit::default()
        };
        assert_eq!(write(&[hit]).expect("write").len(), 165);
    }

    #[test]
    fn a_column_that_nobody_knows_yet_is_passed_over() {
        let data = written(vec![("ts", times(&[1, 2])), ("later", Values::Flags(vec![None, Some(true)]))]);
        let few = Few::read(&data).expect("read").expect("few hits");
        assert_eq!((few.rows(), few.names()), (2, vec!["ts"]));
        let hit = |ts| Hit { ts, ..Hit::default() };
        assert_eq!(few.hits(None).expect("hits"), [hit(1), hit(2)]);
    }

    #[test]
    fn what_contradicts_itself_is_damaged() {
        let path = |values| ("path", Values::Texts(values));
        let damaged =
            |data: &[u8]| Few::read(data).and_then(|few| few.expect("few hits").hits(None)).is_err();
        assert!(!damaged(&written(vec![("ts", times(&[1])), path(vec![Some("/")])])));
        assert!(damaged(&written(vec![("ts", times(&[1])), path(vec![Some("/"), None])])), "more paths");
        assert!(damaged(&written(vec![path(vec![Some("/")])])), "no times");
        assert!(damaged(&written(vec![("ts", times(&[1])), ("path", times(&[1]))])), "of another kind");
        let mut longer = write(&[Hit::default()]).expect("write");
        assert!(!damaged(&longer));
        longer.push(0);
        assert!(damaged(&longer), "something follows");
        assert!(damaged(&longer[..longer.len() - 2]), "cut off");
    }
}
