//! The calls of api-analytics' dashboard as a browser makes them: from another origin, with the headers
//! that its own code says and no others.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, ORIGIN, REFERER, USER_AGENT,
};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Map, Value};
use watchkeeper_e2e::upstream::http_client;

/// Where the dashboard itself comes from.
const HERE: &str = "http://dashboard.example";
const AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
/// It asks for another page while the last one had this many rows.
const FULL_PAGE: usize = 200_000;
/// How long it waits for a page.
const PATIENCE: Duration = Duration::from_secs(250);

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    body: String,
}

impl Answer {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.chars().take(300).collect::<String>())
    }
}

/// A browser on a dashboard that was opened with `?source=`.
pub struct Browser {
    http: Client,
    server: String,
}

impl Browser {
    /// Opens the dashboard; one slash at the end of `source` is taken off.
    pub fn open(source: &str) -> Result<Self> {
        Ok(Self { http: http_client()?, server: source.strip_suffix('/').unwrap_or(source).to_owned() })
    }

    /// `fetch(url)`.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    /// `fetch(url, {method: 'POST', body: JSON.stringify(…)})`: without a content type of its own, a text
    /// has this one.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, "text/plain;charset=UTF-8");
        self.send(request.body(body.to_string())).await
    }

    /// `fetch(url, {method: 'POST', headers: {'X-AUTH-TOKEN': …}})`, which another origin may send only
    /// after the server has said so.
    pub async fn post_with_token(&self, path: &str, token: &str) -> Result<Answer> {
        let preflight = self
            .request(Method::OPTIONS, path)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, "x-auth-token");
        let answer = preflight.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        answer.bytes().await?;
        ensure!(status.is_success(), "the preflight of {path}: {status}");
        check_origin(path, &headers)?;
        for (header, wanted) in
            [(ACCESS_CONTROL_ALLOW_METHODS, "post"), (ACCESS_CONTROL_ALLOW_HEADERS, "x-auth-token")]
        {
            let told = text(&headers, header).unwrap_or_default().to_ascii_lowercase();
            ensure!(told.split(',').any(|one| one.trim() == wanted), "{path} is not let {wanted}: {told}");
        }
        self.send(self.request(Method::POST, path).header("X-AUTH-TOKEN", token)).await
    }

    /// The sign-in: the id of the key's dashboard, as it stands in the address of the page; `None` is what
    /// it tells as a key that was not found.
    pub async fn sign_in(&self, key: &str) -> Result<Option<String>> {
        let answer = self.get(&format!("/api/user-id/{key}")).await?;
        if answer.status != StatusCode::OK {
            return Ok(None);
        }
        Ok(Some(answer.json()?.as_str().context("a text")?.replace('-', "")))
    }

    /// Loads a dashboard as its page does, one page of rows after the other, and shows each row beside the
    /// agents of its page. Gives the number of rows of each answer.
    pub async fn load(&self, page_id: &str, mut show: impl FnMut(&Value, &Agents)) -> Result<Vec<usize>> {
        let user = dashed(page_id)?;
        let mut counts = Vec::new();
        loop {
            let path = format!("/api/requests/{user}/{}", counts.len() + 1);
            let answer = self.get(&path).await?;
            ensure!(answer.status == StatusCode::OK, "{path}: {}: {}", answer.status, answer.body);
            let mut page = answer.json()?;
            drop(answer);
            let rows = page["requests"].take();
            let rows = rows.as_array().with_context(|| format!("{path}: requests is no array"))?;
            let agents = page["user_agents"].as_object().with_context(|| format!("{path}: user_agents"))?;
            rows.iter().for_each(|row| show(row, agents));
            counts.push(rows.len());
            if rows.len() < FULL_PAGE {
                return Ok(counts);
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.server))
            .timeout(PATIENCE)
            .header(ORIGIN, HERE)
            .header(REFERER, format!("{HERE}/"))
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "gzip, deflate")
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        let (status, path) = (answer.status(), answer.url().path().to_owned());
        let headers = answer.headers().clone();
        check_origin(&path, &headers)?;
        let bytes = answer.bytes().await?;
        let mut body = String::new();
        match text(&headers, CONTENT_ENCODING) {
            None => body.push_str(std::str::from_utf8(&bytes)?),
            Some("gzip") => {
                GzDecoder::new(bytes.as_ref()).read_to_string(&mut body)?;
            }
            Some(other) => bail!("{path}: {other}, which was not asked for"),
        }
        Ok(Answer { status, body })
    }
}

/// User agents by their numbers.
pub type Agents = Map<String, Value>;

/// Without this, a browser keeps the answer from the page.
fn check_origin(path: &str, headers: &HeaderMap) -> Result<()> {
    let allowed = text(headers, ACCESS_CONTROL_ALLOW_ORIGIN);
    ensure!(matches!(allowed, Some("*" | HERE)), "{path}: the page may not read it: {allowed:?}");
    Ok(())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The id of a page's address as the calls have it.
pub fn dashed(id: &str) -> Result<String> {
    ensure!(id.len() == 32 && id.is_ascii(), "no id of a page: {id}");
    Ok([&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-"))
}
