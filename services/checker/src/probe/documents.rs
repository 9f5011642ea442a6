//! JSON documents of other people's servers, got over HTTP. Addresses meet the guard as those of probes
//! do: servers that the installation names may be private, but none where they redirect to.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, LOCATION};
use reqwest::{Client, Response, StatusCode, Url, redirect::Policy};
use serde::de::DeserializeOwned;
use watchkeeper_store::IpFamily;

use super::http::redirects;
use super::resolver::{Resolver, literal};
use super::tls::Trusted;
use crate::guard::{Guard, Rules, Trust};

/// Longest time for one document, redirects included.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Redirects that are followed.
const REDIRECTS: usize = 4;

/// Gets documents.
pub(crate) struct Documents {
    /// For servers that the installation names.
    named: Asker,
    /// For those that others redirect to.
    elsewhere: Asker,
}

impl Documents {
    /// Whose names are resolved by `resolver`, as far as the rules of the moment let them.
    pub fn new(trusted: &Trusted, resolver: &Resolver, rules: &Rules) -> Self {
        let asker = |trust| Asker::new(trusted, Guarded::new(resolver, rules, trust));
        Self { named: asker(Trust::Operator), elsewhere: asker(Trust::Stranger) }
    }

    /// Gets a document of at most so many bytes; `None` when there is none.
    ///
    /// # Errors
    /// A sentence that names the server.
    pub async fn get<T: DeserializeOwned>(&self, url: &Url, most: usize) -> Result<Option<T>, String> {
        let server = url.host_str().unwrap_or_default();
        let unheard = || format!("{server} did not answer");
        let got = tokio::time::timeout(PATIENCE, async {
            let mut answer = self.follow(url).await?;
            match answer.status() {
                StatusCode::NOT_FOUND => return Ok(None),
                status if !status.is_success() => {
                    return Err(format!("{server} answered {}", status.as_u16()));
                }
                _ => {}
            }
            let mut body = Vec::new();
            while let Some(part) = answer.chunk().await.map_err(|_| unheard())? {
                if body.len() + part.len() > most {
                    return Err(format!("{server} answered more than {most} bytes"));
                }
                body.extend_from_slice(&part);
            }
            serde_json::from_slice(&body).map(Some).map_err(|_| format!("{server} answered something else"))
        });
        got.await.unwrap_or_else(|_| Err(unheard()))
    }

    /// The answer at the end of all redirects.
    async fn follow(&self, first: &Url) -> Result<Response, String> {
        let server = first.host_str().unwrap_or_default();
        let mut answer = self.named.ask(first.clone()).await?;
        for _ in 0..REDIRECTS {
            let Some(next) = redirected(&answer) else { return Ok(answer) };
            let asked = self.elsewhere.ask(next?).await;
            answer = asked.map_err(|why| format!("{server} redirects, and {why}"))?;
        }
        match redirected(&answer) {
            None => Ok(answer),
            Some(_) => Err(format!("{server} redirects more than {REDIRECTS} times")),
        }
    }
}

/// Where an answer redirects to, if it does.
fn redirected(answer: &Response) -> Option<Result<Url, String>> {
    if !redirects(answer.status()) {
        return None;
    }
    let location = answer.headers().get(LOCATION)?;
    let next = location.to_str().ok().and_then(|location| answer.url().join(location).ok());
    let server = answer.url().host_str().unwrap_or_default();
    Some(next.ok_or_else(|| format!("{server} redirects to no URL")))
}

/// Asks one kind of server, and follows no redirect.
struct Asker {
    /// Or why there is none.
    client: Result<Client, String>,
    guarded: Guarded,
}

impl Asker {
    fn new(trusted: &Trusted, guarded: Guarded) -> Self {
        let client = trusted.usual().and_then(|tls| {
            let client = Client::builder()
                .tls_backend_preconfigured(tls)
                .dns_resolver(guarded.clone())
                .redirect(Policy::none())
                .user_agent(watchkeeper_runtime::USER_AGENT);
            client.build().map_err(|error| error.to_string())
        });
        Self { client, guarded }
    }

    async fn ask(&self, url: Url) -> Result<Response, String> {
        let server = url.host_str().unwrap_or_default().to_owned();
        // An address is not looked up, and would not meet the guard on the way.
        if let Some(ip) = literal(&server) {
            self.guarded.guard().check(ip).map_err(|denied| denied.to_string())?;
        }
        let request = self.client.as_ref().map_err(Clone::clone)?.get(url);
        let request = request.header(ACCEPT, "application/rdap+json, application/json");
        request.send().await.map_err(|_| format!("{server} did not answer"))
    }
}

/// Resolves names to what may be asked.
#[derive(Clone)]
struct Guarded {
    resolver: Resolver,
    rules: Rules,
    trust: Trust,
}

impl Guarded {
    fn new(resolver: &Resolver, rules: &Rules, trust: Trust) -> Self {
        Self { resolver: resolver.clone(), rules: rules.clone(), trust }
    }

    fn guard(&self) -> Guard {
        Guard::new(self.trust, "", self.rules.now())
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, guard) = (self.resolver.clone(), self.guard());
        Box::pin(async move {
            let found = resolver.resolve(name.as_str(), IpFamily::Any, &guard).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}
