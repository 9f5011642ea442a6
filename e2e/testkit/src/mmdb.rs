//! The smallest possible MaxMind DB: one tree node whose left branch (0.0.0.0/1) leads to a record
//! and whose right one to nothing.

use std::{fs, io, path::Path};

/// A text.
///
/// # Panics
/// For one of 29 bytes or more, which would need another form.
#[must_use]
pub fn text(value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).ok().filter(|length| *length < 29);
    let length = length.expect("longer texts need a size byte");
    [&[0x40 | length], value.as_bytes()].concat()
}

/// A map of fewer than 29 entries.
#[must_use]
pub fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0xe0 | small(entries.len())];
    for (key, value) in entries {
        out.extend(text(key));
        out.extend(value);
    }
    out
}

/// A list of fewer than 29 items.
#[must_use]
pub fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![small(items.len()), 0x04];
    items.iter().for_each(|item| out.extend(item));
    out
}

fn small(count: usize) -> u8 {
    u8::try_from(count).ok().filter(|count| *count < 29).expect("more would need a size byte")
}

/// Writes a file of IPv4 addresses that knows `record` for 0.0.0.0 to 127.255.255.255.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, record: &[u8]) -> io::Result<()> {
    let number16 = |value: u8| vec![0xa1, value];
    let mut file = vec![0, 0, 1 + 16, 0, 0, 1];
    file.extend([0; 16]);
    file.extend(record);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    file.extend(map(&[
        ("binary_format_major_version", number16(2)),
        ("binary_format_minor_version", number16(0)),
        ("build_epoch", vec![0x01, 0x02, 0x01]),
        ("database_type", text("test")),
        ("description", map(&[])),
        ("ip_version", number16(4)),
        ("languages", list(&[])),
        ("node_count", vec![0xc1, 1]),
        ("record_size", number16(24)),
    ]));
    fs::write(path, file)
}
