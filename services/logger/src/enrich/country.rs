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

/// Where in a country an address is, in English. What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// City.
    pub city: Option<String>,
    /// Region of the country, such as a state.
    pub region: Option<String>,
}

/// Where the files in use keep cities: MaxMind's own and DB-IP's nest them, @ip-location-db's and
/// IPinfo's have them flat.
const CITY_PATHS: [&[PathElement<'static>]; 2] = [
    &[PathElement::Key("city"), PathElement::Key("names"), PathElement::Key("en")],
    &[PathElement::Key("city")],
];

/// As [`CITY_PATHS`], of regions.
const REGION_PATHS: [&[PathElement<'static>]; 3] = [
    &[
        PathElement::Key("subdivisions"),
        PathElement::Index(0),
        PathElement::Key("names"),
        PathElement::Key("en"),
    ],
    &[PathElement::Key("state1")],
    &[PathElement::Key("region")],
];

impl Countries {
    /// Where in its country an address is, if this file has cities.
    pub(super) fn place(&self, ip: IpAddr) -> Place {
        let ip = ip.to_canonical();
        if is_nowhere(ip) {
            return Place::default();
        }
        let Ok(record) = self.reader.lookup(ip) else { return Place::default() };
        let first = |paths: &[&[PathElement<'static>]]| {
            let text = paths.iter().find_map(|path| record.decode_path::<&str>(path).ok()?);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Place { city: first(&CITY_PATHS), region: first(&REGION_PATHS) }
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

    use watchkeeper_testkit::mmdb::{self, list, map, text};

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

    #[test]
    fn cities_and_regions_are_read_in_every_known_shape() {
        let names = |name: &str| map(&[("names", map(&[("en", text(name))]))]);
        let nested = map(&[("city", names("Berlin")), ("subdivisions", list(&[names("Land Berlin")]))]);
        let flat = map(&[("city", text("Berlin")), ("state1", text("Land Berlin"))]);
        let other = map(&[("city", text("Berlin")), ("region", text("Land Berlin"))]);
        let place = |file: &Countries, ip: &str| file.place(ip.parse().expect("an address"));
        for record in [nested, flat, other] {
            let file = file_with(&record);
            let berlin = Place { city: Some("Berlin".into()), region: Some("Land Berlin".into()) };
            assert_eq!(place(&file, "1.2.3.4"), berlin);
            assert_eq!(place(&file, "200.2.3.4"), Place::default(), "not in the file");
            assert_eq!(place(&file, "10.0.0.1"), Place::default(), "nobody's");
        }
        assert_eq!(place(&file_with(&map(&[("country_code", text("DE"))])), "1.2.3.4"), Place::default());
    }

    fn file_with(record: &[u8]) -> Countries {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tiny.mmdb");
        mmdb::write(&path, record).expect("a file");
        Countries::open(path).expect("a country file")
    }
}
