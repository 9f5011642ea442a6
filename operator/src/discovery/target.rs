//! What is to be asked, by the object and its annotations. An object may name only hosts that are its
//! own: who may annotate an Ingress need not be one who may have anything else probed.

use serde_json::Value;
use watchkeeper_crds::discovery::Source;

use super::Refusal;
use super::annotations::Wish;

/// What is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host name.
    pub host: String,
    /// Port, if it is not that of the scheme.
    pub port: Option<u16>,
}

impl Target {
    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        match self.port {
            Some(port) => format!("{}://{}:{port}{path}", self.scheme, self.host),
            None => format!("{}://{}{path}", self.scheme, self.host),
        }
    }

    /// The port that a connection goes to.
    #[must_use]
    pub fn tcp_port(&self) -> u16 {
        self.port.unwrap_or(if self.scheme == "https" { 443 } else { 80 })
    }
}

/// Finds what is to be asked.
///
/// # Errors
/// [`Refusal`] that says which annotation helps.
pub fn find(source: Source, object: &Value, wish: &Wish) -> Result<Target, Refusal> {
    match source {
        Source::Ingress => of_ingress(object, wish),
        Source::HttpRoute => of_route(object, wish),
        Source::Service => of_service(object, wish),
    }
}

fn of_ingress(object: &Value, wish: &Wish) -> Result<Target, Refusal> {
    let hosts = texts(&object["spec"]["rules"], |rule| &rule["host"]);
    let host = choose(&hosts, wish, covers)?;
    let secure = list(&object["spec"]["tls"]).iter().any(|tls| {
        let named = texts(&tls["hosts"], |host| host);
        // Without hosts it is for all of them.
        named.is_empty()
            || named.iter().any(|name| {
                *name == host || name.strip_prefix('*').is_some_and(|suffix| covers(suffix, &host))
            })
    });
    web(wish, host, if secure { "https" } else { "http" })
}

/// Whether a wildcard of an Ingress, given without its star, covers a host: it stands for one label.
fn covers(suffix: &str, host: &str) -> bool {
    let label = host.strip_suffix(suffix).unwrap_or_default();
    !label.is_empty() && !label.contains('.')
}

fn of_route(object: &Value, wish: &Wish) -> Result<Target, Refusal> {
    let hosts = texts(&object["spec"]["hostnames"], |host| host);
    let host = choose(&hosts, wish, |pattern, host| host.len() > pattern.len() && host.ends_with(pattern))?;
    // The listener is the Gateway's; its name or port tells enough in most cases.
    let secure = list(&object["spec"]["parentRefs"]).iter().any(|parent| {
        parent["port"] == 443 || parent["sectionName"].as_str().is_some_and(|name| name.contains("https"))
    });
    web(wish, host, if secure { "https" } else { "http" })
}

fn of_service(object: &Value, wish: &Wish) -> Result<Target, Refusal> {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    if wish.host.is_some() {
        return Err(Refusal::new(
            "InvalidAnnotation",
            "watchkeeper.dev/host: a Service has no hosts to choose from",
        ));
    }
    let ports = list(&object["spec"]["ports"]);
    let is = |port: &Value, wanted: &str| {
        let number = port["port"].as_u64().map(|number| number.to_string());
        port["name"] == wanted || number.as_deref() == Some(wanted)
    };
    let port = match &wish.port {
        Some(wanted) => ports.iter().find(|port| is(port, wanted)).ok_or_else(|| {
            Refusal::new(
                "InvalidAnnotation",
                format!("watchkeeper.dev/port: the Service has no port {wanted}"),
            )
        })?,
        None => ports.first().ok_or_else(|| Refusal::new("NoTarget", "the Service has no port to ask"))?,
    };
    if port["protocol"].as_str().is_some_and(|protocol| protocol != "TCP") {
        return Err(Refusal::new(
            "NoTarget",
            "the Service's port is not one of TCP; choose one by watchkeeper.dev/port",
        ));
    }
    let number = port["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    let secure = number == 443
        || ["name", "appProtocol"]
            .iter()
            .any(|key| port[*key].as_str().is_some_and(|name| name.contains("https")));
    let scheme = scheme(wish, if secure { "https" } else { "http" });
    let usual = if scheme == "https" { 443 } else { 80 };
    Ok(Target {
        scheme,
        host: format!("{}.{}.svc", text("name"), text("namespace")),
        port: (number != usual).then_some(number),
    })
}

/// The host that the annotations choose, or the first that is no wildcard.
fn choose(hosts: &[&str], wish: &Wish, matches: impl Fn(&str, &str) -> bool) -> Result<String, Refusal> {
    let known = || if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
    match &wish.host {
        Some(host) => {
            let own = hosts.iter().any(|own| {
                own == host || own.strip_prefix('*').is_some_and(|suffix| matches(suffix, host))
            });
            if own {
                return Ok(host.clone());
            }
            let problem = format!("watchkeeper.dev/host: the object has no host {host}; it has {}", known());
            Err(Refusal::new("InvalidAnnotation", problem))
        }
        None => hosts.iter().find(|host| !host.contains('*')).map(|host| (*host).to_owned()).ok_or_else(|| {
            Refusal::new(
                "NoTarget",
                format!(
                    "no host to ask: the object's hosts are {}; with a wildcard, watchkeeper.dev/host chooses one",
                    known()
                ),
            )
        }),
    }
}

fn web(wish: &Wish, host: String, scheme_of_object: &'static str) -> Result<Target, Refusal> {
    let scheme = scheme(wish, scheme_of_object);
    let port = match &wish.port {
        None => None,
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| {
            Refusal::new("InvalidAnnotation", "watchkeeper.dev/port: write a number from 1 to 65535")
        })?),
    };
    Ok(Target { scheme, host, port })
}

fn scheme(wish: &Wish, otherwise: &'static str) -> &'static str {
    match wish.scheme.as_deref() {
        Some("https") => "https",
        Some(_) => "http",
        None => otherwise,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts<'a>(value: &'a Value, of: impl Fn(&'a Value) -> &'a Value) -> Vec<&'a str> {
    list(value).iter().filter_map(|item| of(item).as_str()).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(source: Source, object: Value, wish: Wish) -> Result<String, String> {
        find(source, &object, &wish).map(|target| target.url("/")).map_err(|refusal| refusal.message)
    }

    fn hosted(host: &str) -> Wish {
        Wish { host: Some(host.to_owned()), ..Wish::default() }
    }

    fn ported(port: &str) -> Wish {
        Wish { port: Some(port.to_owned()), ..Wish::default() }
    }

    #[test]
    fn an_ingress_is_asked_at_its_first_host_and_by_https_where_it_has_a_certificate() {
        let rules =
            json!([{"http": {}}, {"host": "a.example"}, {"host": "b.example"}, {"host": "*.c.example"}]);
        let ingress = |tls: Value| json!({"spec": {"rules": rules.clone(), "tls": tls}});
        let of = |tls: Value, wish| asked(Source::Ingress, ingress(tls), wish);
        assert_eq!(of(json!(null), Wish::default()).unwrap(), "http://a.example/");
        assert_eq!(of(json!([{"hosts": ["b.example"]}]), Wish::default()).unwrap(), "http://a.example/");
        assert_eq!(of(json!([{"hosts": ["b.example"]}]), hosted("b.example")).unwrap(), "https://b.example/");
        assert_eq!(of(json!([{"secretName": "x"}]), Wish::default()).unwrap(), "https://a.example/");
        assert_eq!(
            of(json!([{"hosts": ["*.c.example"]}]), hosted("x.c.example")).unwrap(),
            "https://x.c.example/"
        );
        assert_eq!(of(json!(null), ported("8443")).unwrap(), "http://a.example:8443/");
        // A certificate's wildcard is for one label too.
        let deep = json!({"spec": {"rules": [{"host": "x.y.example"}], "tls": [{"hosts": ["*.example"]}]}});
        assert_eq!(asked(Source::Ingress, deep, Wish::default()).unwrap(), "http://x.y.example/");
    }

    #[test]
    fn an_object_is_asked_at_no_host_but_its_own() {
        let ingress = json!({"spec": {"rules": [{"host": "a.example"}, {"host": "*.c.example"}]}});
        for foreign in ["169.254.169.254", "b.example", "c.example", "x.y.c.example", "evil-c.example"] {
            let error = asked(Source::Ingress, ingress.clone(), hosted(foreign)).unwrap_err();
            assert!(error.contains("it has a.example, *.c.example"), "{error}");
        }
        let service = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": [{"port": 80}]}});
        asked(Source::Service, service, hosted("a.example")).unwrap_err();
    }

    #[test]
    fn without_a_host_it_says_what_helps() {
        for object in [json!({"spec": {}}), json!({"spec": {"rules": [{"host": "*.a.example"}]}})] {
            let error = asked(Source::Ingress, object, Wish::default()).unwrap_err();
            assert!(error.contains("watchkeeper.dev/host"), "{error}");
        }
    }

    #[test]
    fn a_route_is_asked_at_its_first_host_by_the_scheme_of_its_listener() {
        let route = |parent: Value| json!({"spec": {"hostnames": ["*.a.example", "a.example"], "parentRefs": [parent]}});
        let of = |parent: Value, wish| asked(Source::HttpRoute, route(parent), wish);
        assert_eq!(of(json!({"name": "edge"}), Wish::default()).unwrap(), "http://a.example/");
        assert_eq!(of(json!({"sectionName": "web-https"}), Wish::default()).unwrap(), "https://a.example/");
        assert_eq!(of(json!({"port": 443}), hosted("x.y.a.example")).unwrap(), "https://x.y.a.example/");
        let plain = Wish { scheme: Some("http".to_owned()), ..Wish::default() };
        assert_eq!(of(json!({"port": 443}), plain).unwrap(), "http://a.example/");
    }

    #[test]
    fn a_service_is_asked_at_its_name_and_the_chosen_port() {
        let service = json!({"metadata": {"name": "shop", "namespace": "web"}, "spec": {"ports": [
            {"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "tls", "port": 443},
            {"name": "admin", "port": 9000, "appProtocol": "https"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}});
        let of = |wish| asked(Source::Service, service.clone(), wish);
        assert_eq!(of(Wish::default()).unwrap(), "http://shop.web.svc:8080/");
        assert_eq!(of(ported("tls")).unwrap(), "https://shop.web.svc/");
        assert_eq!(of(ported("9000")).unwrap(), "https://shop.web.svc:9000/");
        assert!(of(ported("dns")).unwrap_err().contains("not one of TCP"));
        assert!(of(ported("81")).unwrap_err().contains("no port 81"));
    }
}
