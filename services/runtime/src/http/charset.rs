//! gin labels JSON with its character set, and clients of api-analytics have seen nothing else.

use axum::response::Response;
use http::{
    HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

/// Labels a JSON answer `application/json; charset=utf-8`; a layer for `map_response`.
/// The dashboard's compressed data goes without, as upstream has it.
pub async fn json_charset(mut response: Response) -> Response {
    let compressed = response.headers().contains_key(CONTENT_ENCODING);
    if let Some(label) = response.headers_mut().get_mut(CONTENT_TYPE)
        && label == "application/json"
        && !compressed
    {
        *label = HeaderValue::from_static("application/json; charset=utf-8");
    }
    response
}
