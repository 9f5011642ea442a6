//! gin labels JSON with its character set, and clients of api-analytics have seen nothing else.

use axum::response::Response;
use http::{HeaderValue, header::CONTENT_TYPE};

/// Labels a JSON answer `application/json; charset=utf-8`; a layer for `map_response`.
pub async fn json_charset(mut response: Response) -> Response {
    if let Some(label) = response.headers_mut().get_mut(CONTENT_TYPE)
        && label == "application/json"
    {
        *label = HeaderValue::from_static("application/json; charset=utf-8");
    }
    response
}
