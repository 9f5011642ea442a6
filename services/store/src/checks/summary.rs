//! The sum of a segment's checks in some tens of bytes, so that long ranges
//! are answered without unpacking them.

use super::{
    availability::{Sample, Tally, Verdict},
    pack::{Reader, Recorded, damaged, signed, unsigned},
};
use crate::Result;

/// First byte, so that another form can follow.
const FORM: u8 = 1;

impl Recorded {
    /// The check as the accounting sees it.
    pub fn sample(&self) -> Sample {
        let verdict = if self.maintenance { Verdict::Maintenance } else { Verdict::of(&self.result) };
        Sample {
            at: self.result.at,
            verdict,
            ok: self.result.ok,
            holds: self.holds,
            duration_us: self.result.duration_us,
        }
    }
}

/// Sums checks up, in their order.
pub(super) fn sum_up(checks: &[Recorded]) -> Tally {
    let mut tally = Tally::unbounded();
    checks.iter().for_each(|check| tally.push(check.sample()));
    tally
}

pub(super) fn encode(tally: &Tally) -> Vec<u8> {
    let mut out = vec![FORM];
    for number in [tally.up, tally.degraded, tally.down, tally.maintenance, tally.checks, tally.good] {
        signed(&mut out, number);
    }
    signed(&mut out, tally.first.unwrap_or_default());
    let last =
        tally.last.unwrap_or(Sample { at: 0, verdict: Verdict::Up, ok: true, holds: 0, duration_us: 0 });
    signed(&mut out, last.at.wrapping_sub(tally.first.unwrap_or_default()));
    signed(&mut out, last.holds);
    signed(&mut out, last.duration_us);
    let verdict = match last.verdict {
        Verdict::Up => 0,
        Verdict::Degraded => 1,
        Verdict::Down => 2,
        Verdict::Maintenance => 3,
    };
    unsigned(&mut out, verdict << 1 | u64::from(last.ok));
    let histogram = &tally.histogram;
    for number in [histogram.sum, histogram.min, histogram.max] {
        signed(&mut out, number);
    }
    unsigned(&mut out, histogram.counts.len() as u64);
    let mut before = 0;
    for (step, count) in &histogram.counts {
        unsigned(&mut out, u64::from(step - before));
        unsigned(&mut out, *count);
        before = *step;
    }
    out
}

/// What a sum says of time, without how long checks took.
pub(super) fn decode_time(bytes: &[u8]) -> Result<Tally> {
    time(&mut Reader(bytes))
}

pub(super) fn decode(bytes: &[u8]) -> Result<Tally> {
    let mut reader = Reader(bytes);
    let mut tally = time(&mut reader)?;
    tally.histogram.sum = reader.signed()?;
    tally.histogram.min = reader.signed()?;
    tally.histogram.max = reader.signed()?;
    let mut step = 0_u32;
    for _ in 0..reader.length()?.min(bytes.len()) {
        let further = u32::try_from(reader.unsigned()?).map_err(|_| damaged("a step is too large"))?;
        step = step.saturating_add(further);
        tally.histogram.counts.insert(step, reader.unsigned()?);
    }
    Ok(tally)
}

fn time(reader: &mut Reader<'_>) -> Result<Tally> {
    if reader.byte()? != FORM {
        return Err(damaged("a summary of checks is in a form that this release does not know"));
    }
    let mut tally = Tally::unbounded();
    tally.up = reader.signed()?;
    tally.degraded = reader.signed()?;
    tally.down = reader.signed()?;
    tally.maintenance = reader.signed()?;
    tally.checks = reader.signed()?;
    tally.good = reader.signed()?;
    let first = reader.signed()?;
    let at = first.wrapping_add(reader.signed()?);
    let (holds, duration_us) = (reader.signed()?, reader.signed()?);
    let last = reader.unsigned()?;
    let verdict = match last >> 1 {
        0 => Verdict::Up,
        1 => Verdict::Degraded,
        2 => Verdict::Down,
        3 => Verdict::Maintenance,
        _ => return Err(damaged("a summary of checks names no verdict")),
    };
    if tally.checks > 0 {
        tally.first = Some(first);
        tally.last = Some(Sample { at, verdict, ok: last & 1 == 1, holds, duration_us });
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sum_is_read_as_it_was_written(
            checks in proptest::collection::vec((1_i64..5_000, 0_i64..2_000_000, any::<[bool; 3]>()), 0..40)
        ) {
            let mut due = 1_790_000_000_000;
            let checks: Vec<Recorded> = checks
                .into_iter()
                .map(|(step, duration_us, [ok, degraded, maintenance])| {
                    due += step;
                    let result = crate::LastCheck { at: due, ok, duration_us, degraded, ..Default::default() };
                    Recorded { endpoint: 1, due, holds: 2_000, maintenance, result }
                })
                .collect();
            let tally = sum_up(&checks);
            let sum = encode(&tally);
            let time = decode_time(&sum).expect("decode");
            prop_assert_eq!(Tally { histogram: tally.histogram.clone(), ..time }, tally.clone());
            prop_assert_eq!(decode(&sum).expect("decode"), tally);
        }
    }
}
