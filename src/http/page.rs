//! The dashboard and its assets, embedded. Its sources stand in `dashboard/source`, and
//! `dashboard/build.mjs` makes of them what is embedded here.

use axum::body::Body;
use axum::extract::{OriginalUri, Path};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use once_cell::sync::Lazy;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::problem::Problem;

const PAGE: &str = include_str!("dashboard/index.html");

static SCRIPT: Lazy<Asset> = Lazy::new(|| {
    let bytes = include_bytes!("dashboard/built/dashboard.js");
    Asset::new(bytes, "js", "text/javascript; charset=utf-8")
});
static STYLE: Lazy<Asset> = Lazy::new(|| {
    let bytes = include_bytes!("dashboard/built/dashboard.css");
    Asset::new(bytes, "css", "text/css; charset=utf-8")
});

/// No script, style or request but our own; in nobody's frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A file whose name changes with its content, so that it can be kept for ever.
struct Asset {
    name: String,
    bytes: &'static [u8],
    kind: &'static str,
}

impl Asset {
    fn new(bytes: &'static [u8], ending: &str, kind: &'static str) -> Asset {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Asset {
            name: format!("dashboard-{:016x}.{ending}", hasher.finish()),
            bytes,
            kind,
        }
    }
}

/// The page, under whatever prefix the routes were nested.
pub(super) async fn page(OriginalUri(asked): OriginalUri, uri: Uri) -> Response {
    let base = base(asked.path(), uri.path());
    let html = PAGE
        .replace("{{base}}", base)
        .replace("{{js}}", &SCRIPT.name)
        .replace("{{css}}", &STYLE.name);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, html).into_response()
}

/// What stands before the surface's own paths; nothing where that could be more than a path.
fn base<'a>(asked: &'a str, own: &str) -> &'a str {
    let base = asked.strip_suffix(own).unwrap_or(asked);
    let base = base.trim_end_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~%".contains(&byte);
    if base.bytes().all(plain) && !base.starts_with("//") {
        base
    } else {
        ""
    }
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let known = [&*SCRIPT, &*STYLE]
        .into_iter()
        .find(|asset| asset.name == name);
    let Some(asset) = known else {
        return Problem::new(StatusCode::NOT_FOUND, "there is no such asset").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
    ];
    (headers, Body::from(asset.bytes)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_what_stands_before_our_own_paths() {
        for (asked, own, expected) in [
            ("/", "/", ""),
            ("/admin", "/", "/admin"),
            ("/admin/", "/", "/admin"),
            ("/a/b", "/", "/a/b"),
            ("/x\"><script>", "/", ""),
            ("//evil.example", "/", ""),
        ] {
            assert_eq!(base(asked, own), expected, "{asked}");
        }
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        let found = PAGE
            .replace("{{base}}", "")
            .replace("{{js}}", "")
            .replace("{{css}}", "");
        assert!(!found.contains("{{") && PAGE.contains("{{base}}/assets/{{js}}"));
    }
}
