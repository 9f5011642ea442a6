//! Checks packed into few bytes: columns of small numbers, compressed by zstd.
//!
//! What most checks of an endpoint share (verdict, status, message, how long
//! it holds, the certificate) is a *kind*, written once; a check is then its
//! planned instant, which is a step after the one before it, how late it
//! started, its kind, its duration, and a byte for each phase.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use super::latency::{middle, step};
use crate::{LastCheck, Phases, Result, StoreError};

/// First byte of what is packed, so that another form can follow.
const FORM: u8 = 1;

/// Steps of an octave to which phases are rounded: within 6.3 %.
const PHASE_STEPS: u32 = 3;

/// Most bytes that anything packed unfolds to.
const MOST: usize = 256 << 20;

const OK: u64 = 1;
const DEGRADED: u64 = 2;
const MAINTENANCE: u64 = 4;
const PHASES: u64 = 8;

/// A check as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub endpoint: i64,
    /// The instant for which it was planned, UTC milliseconds: unique for an endpoint.
    pub due: i64,
    /// How long it holds without another, milliseconds.
    pub holds: i64,
    /// Whether the endpoint was in maintenance.
    pub maintenance: bool,
    pub result: LastCheck,
}

/// What checks have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind<'a> {
    flags: u64,
    holds: i64,
    status: Option<i32>,
    certificate: Option<i64>,
    message: Option<&'a str>,
}

/// Packs checks in the order given. Durations are kept to the microsecond up to
/// 71 minutes, phases within 6.3 %.
pub(crate) fn pack(checks: &[Recorded], level: i32) -> Result<Vec<u8>> {
    let mut kinds: HashMap<Kind<'_>, u64> = HashMap::new();
    let mut described = Vec::new();
    let (mut ids, mut steps, mut lags, mut codes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut planes: [Vec<u8>; 4] = Default::default();
    let mut phases: [Vec<u8>; 5] = Default::default();
    let (mut endpoint, mut due, mut stride) = (0_i64, 0_i64, 0_i64);
    for check in checks {
        let result = &check.result;
        let kind = kind(check);
        let next = kinds.len() as u64;
        let code = *kinds.entry(kind.clone()).or_insert_with(|| {
            describe(&kind, &mut described);
            next
        });
        signed(&mut ids, check.endpoint.wrapping_sub(endpoint));
        let distance = check.due.wrapping_sub(due);
        signed(&mut steps, distance.wrapping_sub(stride));
        signed(&mut lags, result.at.wrapping_sub(check.due));
        unsigned(&mut codes, code);
        let duration = u32::try_from(result.duration_us.max(0)).unwrap_or(u32::MAX).to_le_bytes();
        planes.iter_mut().zip(duration).for_each(|(plane, byte)| plane.push(byte));
        if let Some(spent) = result.phases {
            phases.iter_mut().zip(parts(spent)).for_each(|(column, part)| {
                column.push(u8::try_from(step(part, PHASE_STEPS)).unwrap_or(u8::MAX));
            });
        }
        (endpoint, due, stride) = (check.endpoint, check.due, distance);
    }
    let mut plain = Vec::new();
    unsigned(&mut plain, checks.len() as u64);
    unsigned(&mut plain, kinds.len() as u64);
    plain.append(&mut described);
    let mut ends = Vec::new();
    for column in [ids, steps, lags, codes].into_iter().chain(planes).chain(phases) {
        unsigned(&mut plain, column.len() as u64);
        plain.extend(column);
        ends.push(plain.len());
    }
    let packed = compress(&plain, &ends, level).map_err(|error| damaged(&error.to_string()))?;
    let mut out = vec![FORM];
    unsigned(&mut out, plain.len() as u64);
    out.extend(packed);
    Ok(out)
}

/// Compresses columns of these ends, as one block or a block each, whichever is smaller: of many checks
/// each column is worth a code of its own, of few the codes would take more than they save.
fn compress(plain: &[u8], ends: &[usize], level: i32) -> io::Result<Vec<u8>> {
    let together = zstd::bulk::compress(plain, level)?;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::<u8>::new(), level)?;
    encoder.set_pledged_src_size(Some(plain.len() as u64))?;
    let mut begin = 0;
    for end in ends {
        encoder.write_all(&plain[begin..*end])?;
        // Ends the block.
        encoder.flush()?;
        begin = *end;
    }
    let apart = encoder.finish()?;
    Ok(if apart.len() < together.len() { apart } else { together })
}

/// What [`pack`] has packed.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<Recorded>> {
    let mut head = Reader(packed);
    if head.bytes(1)? != [FORM] {
        return Err(damaged("checks are in a form that this release does not know"));
    }
    let size = head.length()?;
    if size > MOST {
        return Err(damaged("packed checks are too large"));
    }
    let plain = zstd::bulk::decompress(head.0, size).map_err(|error| damaged(&error.to_string()))?;
    let mut reader = Reader(&plain);
    let count = reader.length()?;
    if count > plain.len() {
        return Err(damaged("packed checks are cut off"));
    }
    let kinds =
        (0..reader.length()?.min(plain.len())).map(|_| reader.kind()).collect::<Result<Vec<Kind<'_>>>>()?;
    let mut columns = [Reader(&[]); 13];
    for column in &mut columns {
        let length = reader.length()?;
        *column = Reader(reader.bytes(length)?);
    }
    let [mut ids, mut steps, mut lags, mut codes, mut d0, mut d1, mut d2, mut d3, mut phases @ ..] = columns;
    let (mut endpoint, mut due, mut stride) = (0_i64, 0_i64, 0_i64);
    (0..count)
        .map(|_| {
            endpoint = endpoint.wrapping_add(ids.signed()?);
            stride = stride.wrapping_add(steps.signed()?);
            due = due.wrapping_add(stride);
            let at = due.wrapping_add(lags.signed()?);
            let kind = kinds.get(codes.length()?).ok_or_else(|| damaged("a packed check is of no kind"))?;
            let duration = u32::from_le_bytes([d0.byte()?, d1.byte()?, d2.byte()?, d3.byte()?]);
            let phases = match kind.flags & PHASES {
                0 => None,
                _ => {
                    let mut parts = [0; 5];
                    for (part, column) in parts.iter_mut().zip(&mut phases) {
                        *part = middle(u32::from(column.byte()?), PHASE_STEPS);
                    }
                    let [resolve_us, connect_us, tls_us, processing_us, transfer_us] = parts;
                    Some(Phases { resolve_us, connect_us, tls_us, processing_us, transfer_us })
                }
            };
            Ok(Recorded {
                endpoint,
                due,
                holds: kind.holds,
                maintenance: kind.flags & MAINTENANCE != 0,
                result: LastCheck {
                    at,
                    ok: kind.flags & OK != 0,
                    status: kind.status,
                    duration_us: i64::from(duration),
                    message: kind.message.map(str::to_owned),
                    degraded: kind.flags & DEGRADED != 0,
                    phases,
                    certificate_expires_at: kind.certificate,
                },
            })
        })
        .collect()
}

fn kind(check: &Recorded) -> Kind<'_> {
    let result = &check.result;
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    Kind {
        flags: flag(result.ok, OK)
            | flag(result.degraded, DEGRADED)
            | flag(check.maintenance, MAINTENANCE)
            | flag(result.phases.is_some(), PHASES),
        holds: check.holds,
        status: result.status,
        certificate: result.certificate_expires_at,
        message: result.message.as_deref(),
    }
}

fn parts(phases: Phases) -> [i64; 5] {
    [phases.resolve_us, phases.connect_us, phases.tls_us, phases.processing_us, phases.transfer_us]
}

/// Writes a kind: a number that is not there is 0, one that is is one of two
/// signs of itself and thereby at least 1.
fn describe(kind: &Kind<'_>, out: &mut Vec<u8>) {
    unsigned(out, kind.flags);
    signed(out, kind.holds);
    for number in [kind.status.map(i64::from), kind.certificate] {
        unsigned(out, u64::from(number.is_some()));
        signed(out, number.unwrap_or_default());
    }
    match kind.message {
        None => unsigned(out, 0),
        Some(text) => {
            unsigned(out, text.len() as u64 + 1);
            out.extend(text.as_bytes());
        }
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Small numbers of either sign in few bytes.
pub(super) fn signed(out: &mut Vec<u8>, value: i64) {
    unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Reads what [`unsigned`] and [`signed`] have written.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| damaged("packed checks are cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().ok_or_else(|| damaged("packed checks are cut off"))?;
        self.0 = rest;
        Ok(*first)
    }

    pub fn unsigned(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("a packed number is too long"))
    }

    pub fn signed(&mut self) -> Result<i64> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub fn length(&mut self) -> Result<usize> {
        usize::try_from(self.unsigned()?).map_err(|_| damaged("a packed length is too large"))
    }

    fn optional(&mut self) -> Result<Option<i64>> {
        let there = self.unsigned()? != 0;
        let value = self.signed()?;
        Ok(there.then_some(value))
    }

    fn kind(&mut self) -> Result<Kind<'a>> {
        let (flags, holds) = (self.unsigned()?, self.signed()?);
        let status = self.optional()?.and_then(|status| i32::try_from(status).ok());
        let certificate = self.optional()?;
        let message = match self.length()?.checked_sub(1) {
            None => None,
            Some(length) => {
                let text = std::str::from_utf8(self.bytes(length)?);
                Some(text.map_err(|_| damaged("a packed message is no text"))?)
            }
        };
        Ok(Kind { flags, holds, status, certificate, message })
    }
}

pub(super) fn damaged(why: &str) -> StoreError {
    StoreError::Damaged(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_check() -> impl Strategy<Value = Recorded> {
        let numbers = (any::<i16>(), any::<i64>(), -5_000_i64..5_000, 0_i64..1 << 32, 0_i64..1 << 40);
        let options = (any::<Option<i32>>(), any::<Option<i64>>(), proptest::option::of(".{0,20}"));
        let flags = any::<[bool; 4]>();
        (numbers, options, flags).prop_map(|(numbers, (status, certificate, message), flags)| {
            let (endpoint, due, lag, duration_us, holds) = numbers;
            let exact = |value: i64| middle(step(value, PHASE_STEPS), PHASE_STEPS);
            let phases = flags[3].then(|| Phases {
                resolve_us: exact(holds & 0xff),
                connect_us: 0,
                tls_us: exact(duration_us >> 8),
                processing_us: exact(duration_us >> 4),
                transfer_us: 7,
            });
            Recorded {
                endpoint: endpoint.into(),
                due,
                holds,
                maintenance: flags[2],
                result: LastCheck {
                    at: due.wrapping_add(lag),
                    ok: flags[0],
                    status,
                    duration_us,
                    message,
                    degraded: flags[1],
                    phases,
                    certificate_expires_at: certificate,
                },
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(checks in proptest::collection::vec(any_check(), 0..60)) {
            let packed = pack(&checks, 3).expect("pack");
            prop_assert_eq!(unpack(&packed).expect("unpack"), checks);
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(
            checks in proptest::collection::vec(any_check(), 1..10), cut in 0_usize..200, flip in any::<u8>()
        ) {
            let mut packed = pack(&checks, 3).expect("pack");
            let at = cut % packed.len();
            packed[at] ^= flip;
            let _ = unpack(&packed);
            let _ = unpack(&packed[..at]);
        }
    }

    /// Checks as a busy endpoint has them: late by some milliseconds, each phase different.
    fn ordinary(interval: i64, count: i64) -> Vec<Recorded> {
        let mut seed = 7_u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((seed >> 33) % below).expect("small")
        };
        (0..count)
            .map(|number| {
                let due = 1_790_000_000_123 + number * interval;
                let spent = [
                    random(300),
                    200 + random(900),
                    900 + random(2_000),
                    5_000 + random(40_000),
                    random(900),
                ];
                let [resolve_us, connect_us, tls_us, processing_us, transfer_us] = spent;
                let bad = number % 500 == 499;
                Recorded {
                    endpoint: 42,
                    due,
                    holds: 70_000,
                    maintenance: false,
                    result: LastCheck {
                        at: due + random(4),
                        ok: !bad,
                        status: Some(if bad { 503 } else { 200 }),
                        duration_us: spent.iter().sum(),
                        message: bad.then(|| "status 503, expected 2xx".into()),
                        degraded: false,
                        phases: Some(Phases { resolve_us, connect_us, tls_us, processing_us, transfer_us }),
                        certificate_expires_at: Some(1_800_000_000_000),
                    },
                }
            })
            .collect()
    }

    #[test]
    fn an_ordinary_check_takes_few_bytes_and_among_many_of_them_less_than_six() {
        for (interval, count, most) in
            [(1_000, 60, 9.5), (60_000, 240, 7.0), (60_000, 1_440, 6.0), (1_000, 3_600, 6.0)]
        {
            let packed = pack(&ordinary(interval, count), 9).expect("pack");
            let each = packed.len() as f64 / count as f64;
            assert!(each < most, "{each:.2} bytes each of {count}");
        }
    }
}
