//! Which hits a page is about.

use watchkeeper_store::ColumnValues;

use crate::Columns;

/// All that is given must hold; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// First moment, UTC milliseconds.
    pub from: Option<i64>,
    /// First moment after the last, UTC milliseconds.
    pub to: Option<i64>,
    /// Host name, exactly.
    pub host: Option<String>,
    /// Address, in its canonical text.
    pub ip: Option<String>,
    /// Country code, exactly.
    pub country: Option<String>,
    /// HTTP status.
    pub status: Option<i32>,
    /// User, exactly.
    pub user: Option<String>,
}

impl Filter {
    /// Whether every hit between `from` and `to` is meant.
    pub fn is_only_time(&self) -> bool {
        self.fields().next().is_none()
    }

    /// The fields beside the time that it looks at.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static str> {
        let status = self.status.is_some().then_some("status");
        self.texts().into_iter().filter_map(|(field, wanted)| wanted.map(|_| field)).chain(status)
    }

    fn texts(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("host", self.host.as_deref()),
            ("ip", self.ip.as_deref()),
            ("country", self.country.as_deref()),
            ("user", self.user.as_deref()),
        ]
    }

    /// Whether the hit at a place of these columns, with its time, is meant. Texts are looked for
    /// once, not in every row.
    pub(crate) fn among(&self, columns: &Columns) -> impl Fn(usize, i64) -> bool {
        let codes: Option<Vec<(&[u32], u32)>> = self
            .texts()
            .into_iter()
            .filter_map(|(field, wanted)| wanted.map(|wanted| code(columns.get(field)?, wanted)))
            .collect();
        let status = self.status.map(|status| (columns.get("status"), i64::from(status)));
        let (from, to) = (self.from.unwrap_or(i64::MIN), self.to);
        move |row, ts| {
            let Some(codes) = &codes else { return false };
            ts >= from
                && to.is_none_or(|to| ts < to)
                && codes.iter().all(|(codes, wanted)| codes.get(row) == Some(wanted))
                && status.is_none_or(|(column, wanted)| match column {
                    Some(ColumnValues::Integers(values)) => values.get(row) == Some(&Some(wanted)),
                    _ => false,
                })
        }
    }
}

/// The codes of a column and the one of a text; `None` where the text does not occur.
fn code<'a>(column: &'a ColumnValues, wanted: &str) -> Option<(&'a [u32], u32)> {
    let ColumnValues::Texts { codes, values } = column else { return None };
    let place = values.iter().position(|value| value == wanted)?;
    Some((codes, u32::try_from(place).ok()? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let host = ColumnValues::Texts { codes: vec![1, 2, 0], values: ["a", "b"].into_iter().collect() };
        let status = ColumnValues::Integers(vec![Some(200), Some(404), None]);
        Columns::from([("host", host), ("status", status)])
    }

    fn meant(filter: &Filter) -> Vec<usize> {
        let columns = columns();
        let is_meant = filter.among(&columns);
        (0..3).filter(|row| is_meant(*row, i64::try_from(*row).expect("small") * 10)).collect()
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let host = |host: &str| Filter { host: Some(host.into()), ..Filter::default() };
        assert_eq!(meant(&Filter::default()), [0, 1, 2]);
        assert_eq!(meant(&host("a")), [0]);
        assert_eq!(meant(&host("c")), [] as [usize; 0]);
        assert_eq!(meant(&Filter { status: Some(404), ..Filter::default() }), [1]);
        assert_eq!(meant(&Filter { status: Some(404), ..host("a") }), [] as [usize; 0]);
        assert_eq!(meant(&Filter { user: Some("u".into()), ..Filter::default() }), [] as [usize; 0]);
        assert!(Filter::default().is_only_time() && !host("a").is_only_time());
    }

    #[test]
    fn the_range_has_its_start_and_not_its_end() {
        assert_eq!(meant(&Filter { from: Some(10), to: Some(20), ..Filter::default() }), [1]);
    }
}
