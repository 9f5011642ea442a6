//! Shares: links that open a project's dashboard to others, within a filter.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, header::HOST};
use std::collections::HashMap;
use uuid::Uuid;
use watchkeeper_store::{NewShare, Reach, StoreError};

use super::{
    access::Manager,
    filters::Filters,
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
    let filter = Filters::parse(fields.get("filter")).map_err(|bad| wrong(&back, "filter", bad.message))?;
    let filter = filter.only_filters().query().trim_start_matches('?').to_owned();
    if api.store.shares(look.project.id).await.map_err(store)?.len() >= MOST {
        return Err(wrong(&back, "title", format!("A project has at most {MOST} shares; revoke one first.")));
    }
    let reach = match fields.get("reach") {
        "public" => Reach::Public { slug: slug(title) },
        "secret" => Reach::Secret,
        "password" => {
            let password = fields.raw("password");
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
    fn a_title_becomes_a_word() {
        assert_eq!(["Shop API", "  /v2 – Ünï ", "🦀"].map(slug), ["shop-api", "v2-n", ""]);
    }
}
