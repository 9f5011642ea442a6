//! Countries of addresses, from a MaxMind DB file held in memory.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use maxminddb::{PathElement, Reader};

use super::EnrichError;

/// An ISO 3166-1 alpha-2 country code, two upper-case ASCII letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// Reads a code in either case; anything but two ASCII letters is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        // Letters are all that `parse` lets in, so the default never shows.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the files in use keep the code: MaxMind's own and DB-IP's nest it,
/// @ip-location-db's have it flat, IPinfo's put it directly under `country`.
const CODE_PATHS: [&[PathElement<'static>]; 3] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];

/// A country file in memory.
pub(super) struct Countries {
    reader: Reader<Vec<u8>>,
}

impl Countries {
    pub(super) fn open(path: PathBuf) -> Result<Self, EnrichError> {
        match Reader::open_readfile(&path) {
            Ok(reader) => Ok(Self { reader }),
            Err(source) => Err(EnrichError::Country { path, source }),
        }
    }

    /// The country of an address. A record without a usable code, or of a
    /// shape that is not known, reads as an unknown country: a file must not
    /// be able to cost a hit.
    pub(super) fn lookup(&self, ip: IpAddr) -> Option<CountryCode> {
        let ip = ip.to_canonical();
        // Registries' records, from which some files are made, give countries
        // to ranges that are everyone's: 192.168.0.0/24 would be Australian.
        if is_nowhere(ip) {
            return None;
        }
        let record = self.reader.lookup(ip).ok()?;
        CODE_PATHS.iter().find_map(|path| {
            let text = record.decode_path::<&str>(path).ok()??;
            CountryCode::parse(text)
        })
    }
}

/// Whether an address means something else in every network.
fn is_nowhere(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || a == 0
                // Carrier-grade NAT.
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// The public-domain file that `make run` uses, fetched into the cache
    /// when it is not there yet.
    fn public_file() -> Countries {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/geoip.sh");
        let output = Command::new(&script).output().expect("geoip.sh runs");
        assert!(
            output.status.success(),
            "{} failed: {}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let path = String::from_utf8(output.stdout).expect("a path");
        Countries::open(path.trim().into()).expect("a country file")
    }

    fn code(countries: &Countries, ip: &str) -> Option<String> {
        let ip = ip.parse().expect("an address");
        countries.lookup(ip).map(|code| code.to_string())
    }

    #[test]
    fn the_public_file_knows_well_known_addresses() {
        let countries = public_file();
        // Google's resolver, RIPE's and NIC.br's own web servers.
        assert_eq!(code(&countries, "8.8.8.8").as_deref(), Some("US"));
        assert_eq!(code(&countries, "193.0.6.139").as_deref(), Some("NL"));
        assert_eq!(code(&countries, "200.160.2.3").as_deref(), Some("BR"));
        assert_eq!(code(&countries, "2001:67c:2e8:22::1").as_deref(), Some("NL"));
    }

    #[test]
    fn a_mapped_address_has_the_country_of_the_plain_one() {
        let countries = public_file();
        assert_eq!(code(&countries, "::ffff:8.8.8.8").as_deref(), Some("US"));
    }

    #[test]
    fn private_addresses_have_no_country() {
        let countries = public_file();
        for ip in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fe80::1", "fd00::1"] {
            assert_eq!(code(&countries, ip), None, "{ip}");
        }
    }

    #[test]
    fn every_known_record_shape_is_understood() {
        let nested = map(&[("country", map(&[("iso_code", text("DE"))]))]);
        let flat = map(&[("country_code", text("fr"))]);
        let direct = map(&[("country", text("JP"))]);
        for (record, country) in [(nested, "DE"), (flat, "FR"), (direct, "JP")] {
            let countries = file_with(&record);
            assert_eq!(code(&countries, "1.2.3.4").as_deref(), Some(country));
            assert_eq!(code(&countries, "200.2.3.4"), None, "not in the file");
            assert_eq!(code(&countries, "2001:db8::1"), None, "an IPv4 file");
        }
    }

    #[test]
    fn a_record_without_a_usable_code_is_an_unknown_country() {
        for record in [
            map(&[("asn", text("64500"))]),
            map(&[("country", map(&[("iso_code", text(""))]))]),
            map(&[("country_code", text("EUR"))]),
        ] {
            assert_eq!(code(&file_with(&record), "1.2.3.4"), None);
        }
    }

    // A writer of the smallest possible MaxMind DB: one tree node whose left
    // branch (0.0.0.0/1) leads to the record and whose right one to nothing.

    fn text(value: &str) -> Vec<u8> {
        assert!(value.len() < 29, "longer strings need a size byte");
        [&[0x40 | value.len() as u8], value.as_bytes()].concat()
    }

    fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut out = vec![0xe0 | entries.len() as u8];
        for (key, value) in entries {
            out.extend(text(key));
            out.extend(value);
        }
        out
    }

    fn file_with(record: &[u8]) -> Countries {
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
            ("languages", vec![0x00, 0x04]),
            ("node_count", vec![0xc1, 1]),
            ("record_size", number16(24)),
        ]));
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tiny.mmdb");
        std::fs::write(&path, file).expect("a file");
        Countries::open(path).expect("a country file")
    }
}
