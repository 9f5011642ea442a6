//! Shares: links that open a project's dashboard to others, within a filter.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, header::HOST};
use std::collections::HashMap;
use url::form_urlencoded;
use uuid::Uuid;
use watchkeeper_store::{NewShare, Reach, StoreError};

use super::{
    access::Manager,
    filters::{self, Filters},
    forms::{Fields, check, done, wrong},
    settings,
    shell::{PageError, percent_encoded},
    unlock,
};
use crate::Api;

/// Shares that a project may have.
const MOST: usize = 100;

/// `POST …/shares`
pub(super) async fn create(
    Manager(look): Manager,
    State(api): State<Api>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, &look.base, &fields).await?;
    let back = format!("{}/settings", look.base);
    let store = |error: StoreError| PageError::store(&error);
    let title = fields.get("title");
    if title.is_empty() || title.len() > 100 {
        return Err(wrong(&back, "title", "A share has a title of 1 to 100 bytes."));
    }
    let filter = limit(fields.get("filter")).map_err(|message| wrong(&back, "filter", message))?;
    let filter = filter.query().trim_start_matches('?').to_owned();
    if api.store.shares(look.project.id).await.map_err(store)?.len() >= MOST {
        return Err(wrong(&back, "title", format!("A project has at most {MOST} shares; revoke one first.")));
    }
    let password = fields.raw("password");
    let reach = match fields.get("reach") {
        "public" | "secret" if !password.is_empty() => {
            let message = "Only a secret link and a password ask for one; choose them, or leave it out.";
            return Err(wrong(&back, "password", message));
        }
        "public" => Reach::Public { slug: slug(title) },
        "secret" => Reach::Secret,
        "password" => {
            if !(8..=256).contains(&password.len()) {
                return Err(wrong(&back, "password", "A password has 8 to 256 bytes."));
            }
            Reach::Password { hash: unlock::hash(&api, password).await? }
        }
        _ => return Err(wrong(&back, "reach", "Choose who gets in: public, secret or password.")),
    };
    if reach == (Reach::Public { slug: String::new() }) {
        return Err(wrong(
            &back,
            "title",
            "A public share needs a letter or a digit in its title: its link is made of it.",
        ));
    }
    // 244 random bits from the operating system.
    let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let link = match &reach {
        Reach::Public { slug } => slug.clone(),
        _ => secret.clone(),
    };
    let people = fields.checked("people");
    let new = NewShare { project: look.project.id, title: title.to_owned(), reach, secret, filter, people };
    match api.store.create_share(&new).await {
        Err(StoreError::SlugTaken) => {
            return Err(wrong(&back, "title", "Another public share has this name; choose another title."));
        }
        made => made.map_err(store)?,
    };
    let path = format!("/s/{}", percent_encoded(&link));
    // Shown in the answer itself: an address would keep it in the browser's history.
    settings::show(&api, &look, &headers, &Filters::default(), Some(absolute(&headers, &path))).await
}

/// `POST …/shares/{id}/revoke`
pub(super) async fn revoke(
    Manager(look): Manager,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, &look.base, &fields).await?;
    let id = params.get("id").and_then(|id| id.parse().ok()).ok_or_else(PageError::not_found)?;
    api.store.revoke_share(look.project.id, id).await.map_err(|error| PageError::store(&error))?;
    Ok(done(&format!("{}/settings#shares", look.base)))
}

/// Reads what a share is limited to: a page's address, or the query of one.
///
/// # Errors
/// Says which parameter chooses no hits. One that is passed over would leave the share without a limit that
/// its maker believes in.
fn limit(text: &str) -> Result<Filters, String> {
    let is_address = ["?", "/", "http://", "https://"].iter().any(|start| text.starts_with(start));
    let query = match text.split_once('?') {
        Some((_, query)) if is_address => query.split('#').next().unwrap_or_default(),
        _ => text,
    };
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    if let Some(other) = names.find(|name| !filters::chooses(name)) {
        return Err(format!(
            "`{other}` is no filter, and filters alone limit a share: all else its readers choose. Take it out, \
             or mend its name."
        ));
    }
    let limit = Filters::parse(query).map_err(|bad| bad.message)?;
    if limit.query().is_empty() && !text.is_empty() {
        return Err("There is no filter in it. Leave it empty to share everything.".into());
    }
    Ok(limit)
}

/// The address of a path as whoever asked would write it.
pub(super) fn absolute(headers: &HeaderMap, path: &str) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST.as_str()).filter(|host| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'[' | b']'))
    });
    let scheme = if text("x-forwarded-proto").is_some_and(|it| it.eq_ignore_ascii_case("https")) {
        "https"
    } else {
        "http"
    };
    host.map_or_else(|| path.to_owned(), |host| format!("{scheme}://{host}{path}"))
}

/// A title as a word of a link.
pub(super) fn slug(title: &str) -> String {
    let mut slug = String::new();
    for character in title.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(60);
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_an_address_or_a_query_of_filters_alone() {
        for text in [
            "path=/v1/*",
            "?path=/v1/*",
            "/p/shop?path=%2Fv1%2F*#usage",
            "https://watchkeeper.example/p/shop?path=/v1/*",
        ] {
            assert_eq!(limit(text).expect(text).query(), "?path=%2Fv1%2F*", "{text}");
        }
        assert_eq!(limit("path=/a?b=c").expect("a query in a path").query(), "?path=%2Fa%3Fb%3Dc");
        assert_eq!(
            limit("not-ip=1.2.3.4&bots=0").expect("spellings").query(),
            "?not-ipAddress=1.2.3.4&bots=0"
        );
        assert_eq!(limit("").expect("no limit"), Filters::default());
        for (text, told) in [
            ("paths=/v1/*", "`paths`"),
            ("?path=/v1/*&period=7d", "`period`"),
            ("from=2026-01-01&to=2026-01-02", "`from`"),
            ("path=/a&query-strings=1", "`query-strings`"),
            ("watchkeeper.example/p/shop?path=/v1/*", "`watchkeeper.example/p/shop?path`"),
            ("https://watchkeeper.example/p/shop", "`https://watchkeeper.example/p/shop`"),
            ("https://watchkeeper.example/p/shop?", "no filter"),
            ("bots=", "no filter"),
            ("hour=99", "`hour`"),
        ] {
            let error = limit(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_title_becomes_a_word() {
        assert_eq!(["Shop API", "  /v2 – Ünï ", "🦀"].map(slug), ["shop-api", "v2-n", ""]);
    }
}
