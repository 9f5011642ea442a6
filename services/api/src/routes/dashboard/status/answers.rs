//! Public answers that caches may keep for a moment and ask about again by their tag.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use sha2::{Digest, Sha256};

/// Fifteen seconds; while a new one is fetched, and while this server is away, the old one.
const CACHE: &str = "public, max-age=15, stale-while-revalidate=60, stale-if-error=600";

/// A body of a type, or 304 to who has it already.
pub(in crate::routes::dashboard) fn cached(
    headers: &HeaderMap,
    label: &'static str,
    body: String,
) -> Response {
    let digest = Sha256::digest(&body);
    let hash: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hash}\"");
    let mut response = if knows(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = body.into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(label));
        response
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(CACHE));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Whether the asking one has what a tag stands for (RFC 9110 §13.1.2, the weak comparison).
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|line| line.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_answer_gets_none() {
        let ask = |tag: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(tag) = tag {
                headers.insert(IF_NONE_MATCH, HeaderValue::from_str(tag).expect("a header"));
            }
            cached(&headers, "text/plain", "x".into())
        };
        let first = ask(None);
        let tag = first.headers()[ETAG].to_str().expect("text").to_owned();
        assert_eq!(first.status(), 200);
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
            let again = ask(Some(&known));
            assert_eq!((again.status(), again.headers().get(CONTENT_TYPE)), (StatusCode::NOT_MODIFIED, None));
            assert_eq!(again.headers()[ETAG], tag.as_str());
        }
        assert_eq!(ask(Some("\"other\"")).status(), 200);
    }
}
