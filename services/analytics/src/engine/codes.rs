//! Columns of small whole numbers, as narrow as their values allow.

/// A code a row.
#[derive(Debug, Clone)]
pub(crate) enum Codes {
    /// The same in every row.
    Same(u32),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
}

/// An integer a row, unknown ones among them.
#[derive(Debug, Clone)]
pub(crate) enum Integers {
    /// Unknown in every row.
    Unknown,
    /// Code 0 is unknown, any other is one more than the distance from `least`.
    Near {
        least: i64,
        codes: Codes,
    },
    Far(Vec<i64>),
}

/// What stands for an unknown integer. No time or size is as small.
pub(crate) const UNKNOWN: i64 = i64::MIN;

/// Rows of a chunk that a block is about.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    /// So many from the first on.
    Run(usize, usize),
    /// These, ascending.
    Picked(Vec<u32>),
}

impl Rows {
    pub fn len(&self) -> usize {
        match self {
            Self::Run(_, length) => *length,
            Self::Picked(rows) => rows.len(),
        }
    }

    /// Appends what `values` has in these rows, as `map` makes it.
    fn gather<T: Copy, U>(&self, values: &[T], out: &mut Vec<U>, map: impl Fn(T) -> U) {
        match self {
            Self::Run(first, length) => {
                out.extend(values[*first..*first + *length].iter().map(|value| map(*value)))
            }
            Self::Picked(rows) => out.extend(rows.iter().map(|row| map(values[*row as usize]))),
        }
    }
}

impl Codes {
    /// The narrowest form.
    pub fn pack(codes: Vec<u32>) -> Self {
        let (mut least, mut most) = (u32::MAX, 0);
        for code in &codes {
            least = least.min(*code);
            most = most.max(*code);
        }
        if least >= most {
            return Self::Same(most);
        }
        #[allow(clippy::cast_possible_truncation)] // just compared
        if most <= u32::from(u8::MAX) {
            Self::U8(codes.iter().map(|code| *code as u8).collect())
        } else if most <= u32::from(u16::MAX) {
            Self::U16(codes.iter().map(|code| *code as u16).collect())
        } else {
            Self::U32(codes)
        }
    }

    pub fn at(&self, row: usize) -> u32 {
        match self {
            Self::Same(code) => *code,
            Self::U8(codes) => codes[row].into(),
            Self::U16(codes) => codes[row].into(),
            Self::U32(codes) => codes[row],
        }
    }

    /// Puts the codes of `rows` into `out`.
    pub fn gather(&self, rows: &Rows, out: &mut Vec<u32>) {
        self.gather_as(rows, out, |code| code);
    }

    /// Puts what `map` makes of the codes of `rows` into `out`.
    pub fn gather_as<T: Clone>(&self, rows: &Rows, out: &mut Vec<T>, map: impl Fn(u32) -> T) {
        out.clear();
        match self {
            Self::Same(code) => out.resize(rows.len(), map(*code)),
            Self::U8(codes) => rows.gather(codes, out, |code| map(code.into())),
            Self::U16(codes) => rows.gather(codes, out, |code| map(code.into())),
            Self::U32(codes) => rows.gather(codes, out, map),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Same(_) => 0,
            Self::U8(codes) => codes.len(),
            Self::U16(codes) => 2 * codes.len(),
            Self::U32(codes) => 4 * codes.len(),
        }
    }
}

impl Integers {
    /// The narrowest form.
    pub fn pack(values: impl Iterator<Item = Option<i64>> + Clone) -> Self {
        let known = values.clone().flatten();
        let (Some(least), Some(most)) = (known.clone().min(), known.max()) else { return Self::Unknown };
        match most.checked_sub(least) {
            Some(range) if range < i64::from(u32::MAX) => {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // just compared
                let code = |value: i64| (value - least) as u32 + 1;
                Self::Near { least, codes: Codes::pack(values.map(|value| value.map_or(0, code)).collect()) }
            }
            _ => {
                Self::Far(values.map(|value| value.map_or(UNKNOWN, |value| value.max(UNKNOWN + 1))).collect())
            }
        }
    }

    /// The value of a row, or [`UNKNOWN`].
    pub fn at(&self, row: usize) -> i64 {
        match self {
            Self::Unknown => UNKNOWN,
            Self::Near { least, codes } => decoded(*least, codes.at(row)),
            Self::Far(values) => values[row],
        }
    }

    /// Puts the values of `rows` into `out`, [`UNKNOWN`] where there is none.
    pub fn gather(&self, rows: &Rows, out: &mut Vec<i64>) {
        match self {
            Self::Unknown => {
                out.clear();
                out.resize(rows.len(), UNKNOWN);
            }
            Self::Near { least, codes } => codes.gather_as(rows, out, |code| decoded(*least, code)),
            Self::Far(values) => {
                out.clear();
                rows.gather(values, out, |value| value);
            }
        }
    }

    /// First row with a value of at least `value`, of a column in ascending order.
    pub fn first_at_least(&self, value: i64, rows: usize) -> usize {
        let (mut low, mut high) = (0, rows);
        while low < high {
            let middle = low.midpoint(high);
            if self.at(middle) < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Near { codes, .. } => codes.bytes(),
            Self::Far(values) => 8 * values.len(),
        }
    }
}

fn decoded(least: i64, code: u32) -> i64 {
    if code == 0 { UNKNOWN } else { least + i64::from(code - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};

    proptest! {
        #[test]
        fn codes_read_back_whatever_their_width(most in 0..70_000_u32, seed in vec(any::<u32>(), 1..50)) {
            let wanted: Vec<u32> = seed.iter().map(|code| code % (most + 1)).collect();
            let codes = Codes::pack(wanted.clone());
            let mut all = Vec::new();
            codes.gather(&Rows::Run(0, wanted.len()), &mut all);
            prop_assert_eq!(&all, &wanted);
            let picked: Vec<u32> = (0..u32::try_from(wanted.len()).expect("few")).step_by(3).collect();
            codes.gather(&Rows::Picked(picked.clone()), &mut all);
            prop_assert_eq!(all, picked.iter().map(|row| wanted[*row as usize]).collect::<Vec<_>>());
        }

        #[test]
        fn integers_read_back_near_and_far(values in vec(option::of(prop_oneof![0..300_i64, any::<i64>()]), 0..50)) {
            let packed = Integers::pack(values.iter().copied());
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(packed.at(row), value.map_or(UNKNOWN, |value| value.max(UNKNOWN + 1)));
            }
        }

        #[test]
        fn a_time_is_found_among_ascending_ones(mut times in vec(-50..50_i64, 0..50), wanted in -60..60_i64) {
            times.sort_unstable();
            let packed = Integers::pack(times.iter().copied().map(Some));
            prop_assert_eq!(packed.first_at_least(wanted, times.len()), times.partition_point(|ts| *ts < wanted));
        }
    }
}
