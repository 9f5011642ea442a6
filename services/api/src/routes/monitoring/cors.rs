//! Pages of other sites: a browser lets them use whatever its user reaches.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{HOST, ORIGIN},
};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::auth;

/// What browsers let pages of other sites do; `*` in a list means everything.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Origins, such as `https://status.example`.
    pub origins: Vec<String>,
    /// Whether they may send cookies.
    pub credentials: bool,
    /// Methods that they may use.
    pub methods: Vec<String>,
    /// Headers that they may send.
    pub headers: Vec<String>,
}

impl Cors {
    /// What tells browsers so.
    pub(super) fn layer(&self) -> CorsLayer {
        let origins = if is_every(&self.origins) {
            // Browsers take no `*` together with cookies, so the origin that asks is named.
            if self.credentials { AllowOrigin::mirror_request() } else { AllowOrigin::any() }
        } else {
            AllowOrigin::list(self.origins.iter().filter_map(|origin| origin.parse::<HeaderValue>().ok()))
        };
        let methods = if is_every(&self.methods) {
            AllowMethods::mirror_request()
        } else {
            AllowMethods::list(self.methods.iter().filter_map(|method| method.parse::<Method>().ok()))
        };
        let headers = if is_every(&self.headers) {
            AllowHeaders::mirror_request()
        } else {
            AllowHeaders::list(self.headers.iter().filter_map(|header| header.parse::<HeaderName>().ok()))
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_credentials(self.credentials)
            .allow_methods(methods)
            .allow_headers(headers)
    }

    /// Whether a page of this origin is among those that may.
    fn lets(&self, origin: Option<&HeaderValue>) -> bool {
        is_every(&self.origins)
            || origin
                .is_some_and(|origin| self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()))
    }
}

fn is_every(list: &[String]) -> bool {
    list.iter().any(|one| one == "*")
}

/// Whether a page of another site made the browser ask, one that `cors` does not let in. CORS alone keeps
/// such a page from reading answers, and not from posting.
pub(super) fn is_from_a_stranger(headers: &HeaderMap, cors: Option<&Cors>) -> bool {
    is_from_elsewhere(headers) && cors.is_none_or(|cors| !cors.lets(headers.get(ORIGIN)))
}

/// Browsers tell in `Sec-Fetch-Site` where a page comes from, but not at an address that is neither https
/// nor the machine's own. There `Origin` tells, which stands in whatever changes anything.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    if headers.contains_key("sec-fetch-site") {
        return auth::from_another_site(headers);
    }
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    headers.get(ORIGIN).is_some_and(|origin| {
        let site = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, site)| site);
        site.zip(host).is_none_or(|(site, host)| !site.as_bytes().eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_from_elsewhere(&pairs.collect())
    }

    #[test]
    fn a_page_is_of_another_site_by_what_its_browser_says_or_else_by_its_origin() {
        let host = ("host", "watch.example:8000");
        assert!(!elsewhere(&[host]), "a program");
        assert!(!elsewhere(&[host, ("origin", "http://Watch.example:8000")]));
        for origin in ["http://watch.example", "http://evil.example:8000", "null"] {
            assert!(elsewhere(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(elsewhere(&[("origin", "http://watch.example:8000")]), "of nobody knows which host");
        // A proxy may change the host, and not what the browser says.
        let own = ("origin", "https://watch.example");
        assert!(!elsewhere(&[host, own, ("sec-fetch-site", "same-origin")]));
        assert!(elsewhere(&[host, ("sec-fetch-site", "same-site")]));
        assert!(elsewhere(&[host, ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn whom_the_list_names_is_no_stranger() {
        let cors = |origins: &[&str]| Cors {
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            credentials: false,
            methods: Vec::new(),
            headers: Vec::new(),
        };
        let of = |origin: &'static str| {
            HeaderMap::from_iter([
                (HeaderName::from_static("sec-fetch-site"), HeaderValue::from_static("cross-site")),
                (ORIGIN, HeaderValue::from_static(origin)),
            ])
        };
        let named = cors(&["https://status.example"]);
        assert!(!is_from_a_stranger(&of("https://status.example"), Some(&named)));
        assert!(is_from_a_stranger(&of("https://evil.example"), Some(&named)));
        assert!(!is_from_a_stranger(&of("https://evil.example"), Some(&cors(&["*"]))));
        assert!(is_from_a_stranger(&of("https://status.example"), None));
    }
}
