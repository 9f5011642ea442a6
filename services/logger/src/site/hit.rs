//! What a view is as a hit.

use watchkeeper_store::{Hit, ProjectId, day_of};

use super::agent_is_bot;
use crate::{
    decode::{site_analytics::View, text},
    enrich::{Enricher, PrivacyLevel},
    policy::Policy,
};

/// The protocol's name in [`Hit::source`].
const SOURCE: &str = "site-analytics";

/// Makes a hit of a view; `now` (UTC milliseconds) is its time if it has none that can be, and
/// `policy` what its project demands for its privacy. The salt of its day must be held.
///
/// The URL is stored so that [`Dimension::Route`](watchkeeper_analytics::Dimension::Route) gives it
/// back as it was posted: as the path where it is nothing else, and otherwise as the route, with
/// host, path and query beside it. An address that is none is kept as it was posted.
///
/// A view that asks not to be tracked, where that is honoured, keeps its country and agent alone of
/// whom it is by.
pub(crate) fn hit(enricher: &Enricher, project: ProjectId, policy: Policy, view: &View, now: i64) -> Hit {
    let ts = time(view, now);
    let anonymous = view.opted_out && (policy.honor_gpc || enricher.honors_gpc());
    let address = text::address(&view.ip);
    let posted = address.is_none().then(|| known(view.ip.trim())).flatten().filter(|_| !anonymous);
    let agent = known(&view.user_agent);
    let mut location = enricher.locate(policy.level, address);
    location.ip = location.ip.filter(|_| !anonymous);
    let address = address.filter(|_| !anonymous);
    let facts = agent.as_deref().map(|agent| enricher.user_agent(agent)).unwrap_or_default();
    let visitor = enricher.visitor(day_of(ts), project.0, address, agent.as_deref(), posted.as_deref());
    let Parts { host, path, query } = parts(&view.url);
    Hit {
        ts,
        source: Some(SOURCE.into()),
        host: host.and_then(known),
        route: (path != view.url).then(|| view.url.clone()),
        path: known(path),
        query: query.and_then(known),
        ip: match location.ip {
            Some(ip) => Some(ip.to_string()),
            None => posted.filter(|_| enricher.privacy_level(policy.level) == PrivacyLevel::Full),
        },
        bot: Some(facts.bot || agent_is_bot(&view.user_agent)),
        user_agent: agent,
        country: location.country.map(|country| country.as_str().to_owned()),
        visitor: visitor.map(u64::cast_signed),
        client: facts.client.map(|text| text.to_string()),
        os: facts.os.map(|text| text.to_string()),
        device: facts.device.map(|text| text.to_string()),
        ..Hit::default()
    }
}

/// The time of a view, UTC milliseconds.
pub(crate) fn time(view: &View, now: i64) -> i64 {
    text::moment(view.ts, now)
}

fn known(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The parts of a URL, which may be a path alone.
struct Parts<'a> {
    host: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

fn parts(url: &str) -> Parts<'_> {
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let scheme = ["https://", "http://"].into_iter().find(|scheme| lower.starts_with(scheme));
    let (host, rest) = match scheme {
        None => (None, url),
        Some(scheme) => {
            let rest = &url[scheme.len()..];
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let authority = &rest[..end];
            // What comes before an @ is somebody's password.
            (Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host)), &rest[end..])
        }
    };
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let path = if path.is_empty() && host.is_some() { "/" } else { path };
    Parts { host, path, query }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Salts, enrich::EnricherConfig};

    fn enricher() -> Enricher {
        let config =
            EnricherConfig { geoip: None, privacy_level: 0, salts: Salts::default(), honor_gpc: false };
        Enricher::new(config).expect("an enricher without a country file")
    }

    fn of(url: &str, ip: &str, user_agent: &str, level: i64) -> Hit {
        let policy = Policy { level, honor_gpc: false };
        hit(&enricher(), ProjectId(1), policy, &view(url, ip, user_agent), 7)
    }

    fn view(url: &str, ip: &str, user_agent: &str) -> View {
        View { ts: None, url: url.into(), ip: ip.into(), user_agent: user_agent.into(), opted_out: false }
    }

    #[test]
    fn every_url_comes_back_as_it_was_posted() {
        for url in [
            "/",
            "/a/b",
            "/a?b=1&c=%20",
            "/a#frag",
            "https://example.com",
            "HTTPS://user@Example.com:8080/a?b#c",
            "not a url at all",
            "?only=query",
            "é/ü",
            "http:/",
        ] {
            let hit = of(url, "", "", 0);
            assert_eq!(hit.route.or(hit.path).as_deref(), Some(url));
        }
    }

    #[test]
    fn a_full_url_has_its_host_path_and_query_beside_it() {
        let hit = of("https://user:pw@example.com:8080/a?b=1#c", "", "", 0);
        assert_eq!(hit.host.as_deref(), Some("example.com:8080"));
        assert_eq!((hit.path.as_deref(), hit.query.as_deref()), (Some("/a"), Some("b=1")));
        assert_eq!(of("/a", "", "", 0).route, None);
    }

    #[test]
    fn an_address_that_is_none_is_kept_as_it_was_posted() {
        for odd in ["1234", "123.456.7890"] {
            let hit = of("/", odd, "UA", 0);
            assert_eq!((hit.ip.as_deref(), hit.country), (Some(odd), None));
        }
        assert_eq!(of("/", "::ffff:1.2.3.4", "UA", 0).ip.as_deref(), Some("1.2.3.4"));
    }

    #[test]
    fn a_stricter_level_keeps_no_address() {
        for level in [1, 2] {
            let hits = ["1.2.3.4", "1234"].map(|ip| of("/", ip, "UA", level));
            assert_eq!(hits.each_ref().map(|hit| hit.ip.clone()), [None, None]);
        }
    }

    #[test]
    fn who_asks_not_to_be_tracked_is_nobody_where_that_is_honoured() {
        for ip in ["1.2.3.4", "1234"] {
            let view = View { opted_out: true, ..view("/", ip, "UA") };
            let of = |honor_gpc| hit(&enricher(), ProjectId(1), Policy { level: 0, honor_gpc }, &view, 7);
            assert_eq!(
                (of(true).ip, of(true).visitor, of(true).user_agent.as_deref()),
                (None, None, Some("UA"))
            );
            assert_eq!(of(false).ip.as_deref(), Some(ip));
        }
    }

    #[test]
    fn robots_are_known_by_their_agents_at_once() {
        let bots = ["", "x-scan/1", "Mozilla/5.0 (Windows NT 10.0; rv:120.0) Firefox/120.0"];
        assert_eq!(bots.map(|agent| of("/", "1.2.3.4", agent, 0).bot), [Some(true), Some(true), Some(false)]);
        assert_eq!(of("/", "1.2.3.4", "", 0).user_agent, None);
    }
}
