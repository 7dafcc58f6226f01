//! Who may ask, and who may command.
//!
//! | from | page and assets | reading | commanding |
//! |---|---|---|---|
//! | this machine, no token set | yes | yes | the page itself, by its origin |
//! | anywhere, a token set | yes | with the token | with the token |
//! | elsewhere, no token set | no | no | no |
//!
//! "This machine" is a loopback address without a sign of a proxy in between. Where the address is
//! not known, as under a server that does not tell it, nobody is on this machine.
//!
//! Every request names a host that is ours: a loopback name, an address, or one that the program
//! allows. A name that an attacker has pointed at this machine (DNS rebinding) is none of them. A
//! request that a browser says was caused by another site is refused, but for the page itself and its
//! assets, which a link may lead to and which say nothing of the program.

use super::problem::Problem;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version, header, request::Parts};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;

/// A token that can be guessed is none: as many characters as 96 random bits take in base64.
const SHORTEST_TOKEN: usize = 16;

/// By these a proxy says that it is one, and for whom it asks; and by all that begin with
/// [`FORWARDED`].
const PROXY: [HeaderName; 6] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// `X-Forwarded-For`, `-Host`, `-Proto` and the like: some proxies send only one of them.
const FORWARDED: &str = "x-forwarded-";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// In the subprotocols that a browser's WebSocket offers, since it can send no other header.
const BEARER_PROTOCOL: &str = "bearer.";

/// What the program allows.
#[derive(Clone, Default)]
pub(super) struct Access {
    token: Option<String>,
    hosts: Vec<String>,
}

/// A token that is too short, too long, or not visible ASCII: see [`Admin::token`](super::Admin::token).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    length: usize,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the token has {} bytes: expected {SHORTEST_TOKEN} to 256 visible ASCII characters",
            self.length
        )
    }
}

impl std::error::Error for TokenError {}

/// What a request wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// The page, which says nothing of the program.
    Page,
    Read,
    Command,
}

impl Access {
    pub(super) fn set_token(&mut self, token: String) -> Result<(), TokenError> {
        let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain || !(SHORTEST_TOKEN..=256).contains(&token.len()) {
            return Err(TokenError {
                length: token.len(),
            });
        }
        self.token = Some(token);
        Ok(())
    }

    pub(super) fn allow_host(&mut self, host: String) {
        self.hosts.push(host.to_ascii_lowercase());
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Lets a request pass, or says why not. `path` is the one within the surface.
    pub(super) fn judge(
        &self,
        parts: &Parts,
        path: &str,
        peer: Option<SocketAddr>,
    ) -> Result<(), Problem> {
        let headers = &parts.headers;
        let host = host(parts)?;
        if !self.is_ours(host) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "`Host` is {host:?}: expected a loopback name, an address, or a host that was \
                     allowed by `allow_host`"
                ),
            ));
        }
        let origin = Origin::of(headers, host)?;
        let wants = match parts.method {
            Method::GET | Method::HEAD if path == "/" || path.starts_with("/assets/") => {
                Wants::Page
            }
            Method::GET | Method::HEAD => Wants::Read,
            _ => Wants::Command,
        };
        if origin == Origin::Elsewhere && wants != Wants::Page {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "the request comes from a page of another origin: expected the dashboard's own",
            ));
        }
        match (&self.token, is_local(headers, peer)) {
            (Some(_), _) if wants == Wants::Page => Ok(()),
            (Some(token), _) => presented(headers, token),
            (None, false) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "only this machine may ask, since no token is set; where requests pass through a \
                 proxy, or the server does not tell the client's address \
                 (`into_make_service_with_connect_info`), a token has to be set",
            )),
            (None, true) if wants == Wants::Command && origin != Origin::Ours => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "commands are taken from the dashboard's own page, or with a token, and none is \
                     set",
            )),
            (None, true) => Ok(()),
        }
    }

    /// An address cannot be pointed elsewhere, and of names only those that are known are ours.
    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        bare.unwrap_or(&name).parse::<IpAddr>().is_ok()
            || name == "localhost"
            || self.hosts.contains(&name)
    }
}

/// Whether a page of ours caused the request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Nothing says so: not a browser, or the page itself that reads.
    Unknown,
    Ours,
    Elsewhere,
}

impl Origin {
    fn of(headers: &HeaderMap, host: &str) -> Result<Origin, Problem> {
        let said = |name: &HeaderName| -> Result<Option<&str>, Problem> {
            let mut values = headers.get_all(name).iter();
            let value = values.next().map(|value| value.to_str());
            match (value, values.next()) {
                (None, _) => Ok(None),
                (Some(Ok(value)), None) => Ok(Some(value)),
                _ => Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    format!("`{name}` makes no sense: expected one value"),
                )),
            }
        };
        if let Some("cross-site" | "same-site") = said(&FETCH_SITE)? {
            return Ok(Origin::Elsewhere);
        }
        let Some(origin) = said(&header::ORIGIN)? else {
            return Ok(Origin::Unknown);
        };
        let of_ours = |scheme: &str| {
            let rest = origin.strip_prefix(scheme);
            rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
        };
        Ok(if of_ours("http://") || of_ours("https://") {
            Origin::Ours
        } else {
            Origin::Elsewhere
        })
    }
}

/// The host that the request names, once. HTTP/2 names it in `:authority`, and may leave out `Host`.
fn host(parts: &Parts) -> Result<&str, Problem> {
    let wrong = |why: &'static str| Problem::new(StatusCode::BAD_REQUEST, why);
    let authority = parts.uri.authority();
    let mut named = parts.headers.get_all(header::HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host
            .to_str()
            .map_err(|_| wrong("`Host` is not plain text: expected a name or an address"))?,
        (None, _) if parts.version >= Version::HTTP_2 => {
            let authority = authority.map(|authority| authority.as_str());
            return authority.ok_or_else(|| wrong("expected an `:authority`"));
        }
        _ => return Err(wrong("expected `Host` once")),
    };
    match authority {
        Some(other) if !other.as_str().eq_ignore_ascii_case(host) => {
            Err(wrong("the address asked for is not that of `Host`"))
        }
        _ => Ok(host),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_local(headers: &HeaderMap, peer: Option<SocketAddr>) -> bool {
    let is_loopback = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_proxys =
        |name: &HeaderName| PROXY.contains(name) || name.as_str().starts_with(FORWARDED);
    is_loopback && !headers.keys().any(is_proxys)
}

/// The token of the `Authorization` header, or of a WebSocket's subprotocols.
fn presented(headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    let refused = |why| Err(Problem::new(StatusCode::UNAUTHORIZED, why));
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().as_bytes().to_vec());
    let offered = || {
        let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
        let mut protocols = protocols.split(',').map(str::trim);
        let encoded = protocols.find_map(|one| one.strip_prefix(BEARER_PROTOCOL))?;
        URL_SAFE_NO_PAD.decode(encoded).ok()
    };
    match bearer.or_else(offered) {
        None => refused("a token is needed: expected `Authorization: Bearer` and the token"),
        // In the same time wherever they differ; only the length can be told.
        Some(presented) if bool::from(presented.ct_eq(token.as_bytes())) => Ok(()),
        Some(_) => refused("the token is wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const TOKEN: &str = "sesame-sesame-sesame";
    const LOCAL: Option<&str> = Some("127.0.0.1:4000");

    fn access(token: bool) -> Access {
        let mut access = Access::default();
        access.allow_host("Admin.Example".to_owned());
        if token {
            access.set_token(TOKEN.to_owned()).unwrap();
        }
        access
    }

    /// The status with which it is refused; 200 when it passes.
    fn status(access: &Access, peer: Option<&str>, line: &str, headers: &[(&str, &str)]) -> u16 {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:9090");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let peer = peer.map(|peer| peer.parse().unwrap());
        match access.judge(&parts, parts.uri.path(), peer) {
            Ok(()) => 200,
            Err(problem) => problem.into_parts().0.status.as_u16(),
        }
    }

    const STATS: &str = "GET /api/system/memory-stats";
    const OPTIMISE: &str = "POST /api/system/memory/optimize";

    #[test]
    fn on_this_machine_anyone_reads_and_only_the_page_commands() {
        let open = access(false);
        let of = |line: &str, headers: &[(&str, &str)]| status(&open, LOCAL, line, headers);
        assert_eq!(of(STATS, &[]), 200);
        assert_eq!(of("GET /", &[]), 200);
        assert_eq!(of(OPTIMISE, &[]), 401);
        assert_eq!(of(OPTIMISE, &[("origin", "http://localhost:9090")]), 200);
        assert_eq!(of(OPTIMISE, &[("origin", "http://localhost:9091")]), 403);
        assert_eq!(of(OPTIMISE, &[("origin", "null")]), 403);
        let page = [
            ("origin", "http://localhost:9090"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert_eq!(of(OPTIMISE, &page), 403);
        for peer in ["[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(status(&open, Some(peer), STATS, &[]), 200, "{peer}");
        }
    }

    #[test]
    fn from_elsewhere_nobody_asks_without_a_token() {
        let open = access(false);
        for peer in [None, Some("192.0.2.1:4000"), Some("[2001:db8::1]:1")] {
            assert_eq!(status(&open, peer, STATS, &[]), 403);
            assert_eq!(status(&open, peer, "GET /", &[]), 403);
            // The name it is called by proves nothing.
            assert_eq!(status(&open, peer, STATS, &[("host", "127.0.0.1")]), 403);
        }
        for proxy in [
            "forwarded",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
            "cf-connecting-ip",
        ] {
            assert_eq!(
                status(&open, LOCAL, STATS, &[(proxy, "for=192.0.2.1")]),
                403
            );
        }
    }

    #[test]
    fn a_token_that_is_set_is_asked_for_everywhere() {
        let shut = access(true);
        let right = format!("Bearer {TOKEN}");
        for peer in [None, LOCAL, Some("192.0.2.1:4000")] {
            for line in [STATS, OPTIMISE] {
                assert_eq!(status(&shut, peer, line, &[]), 401);
                let wrong = [("authorization", "Bearer sesame-sesame-sesamf")];
                assert_eq!(status(&shut, peer, line, &wrong), 401);
                let shorter = [("authorization", "Bearer sesame-sesame-sesam")];
                assert_eq!(status(&shut, peer, line, &shorter), 401);
                let basic = [("authorization", "Basic sesame-sesame-sesame")];
                assert_eq!(status(&shut, peer, line, &basic), 401);
                let page = [("origin", "http://localhost:9090")];
                assert_eq!(status(&shut, peer, line, &page), 401);
                assert_eq!(status(&shut, peer, line, &[("authorization", &right)]), 200);
                let foreign = [
                    ("authorization", &*right),
                    ("origin", "http://evil.example"),
                ];
                assert_eq!(status(&shut, peer, line, &foreign), 403);
            }
            assert_eq!(status(&shut, peer, "GET /assets/dashboard.js", &[]), 200);
        }
    }

    #[test]
    fn a_websocket_offers_the_token_among_its_protocols() {
        let shut = access(true);
        let offer = |token: &str| {
            let protocols = format!("plimsoll, bearer.{}", URL_SAFE_NO_PAD.encode(token));
            let headers = [("sec-websocket-protocol", &*protocols)];
            status(&shut, LOCAL, "GET /api/system/live", &headers)
        };
        assert_eq!(offer(TOKEN), 200);
        assert_eq!(offer("something-else-here"), 401);
        let odd = [("sec-websocket-protocol", "plimsoll, bearer.%%%")];
        assert_eq!(status(&shut, LOCAL, "GET /api/system/live", &odd), 401);
    }

    #[test]
    fn a_name_that_was_pointed_here_is_not_ours() {
        let open = access(false);
        let of = |host: &str| status(&open, LOCAL, STATS, &[("host", host)]);
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:9090",
            "[::1]",
            "[::1]:80",
            "admin.example",
            "192.0.2.7:1",
        ] {
            assert_eq!(of(host), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9090",
            "",
            "[::1].evil.example",
            "localhost:80:80",
        ] {
            assert_eq!(of(host), 421, "{host}");
        }
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(status(&open, LOCAL, STATS, &twice), 400);
        let other = status(&open, LOCAL, "GET http://evil.example/", &[]);
        assert_eq!(other, 400);
    }

    #[test]
    fn http_2_may_name_the_host_without_the_header() {
        let open = access(false);
        let of = |version, uri: &str, origin: &str| {
            let request = Request::builder().method(Method::POST).uri(uri);
            let request = request.version(version).header("origin", origin);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let peer = LOCAL.map(|peer| peer.parse().unwrap());
            match open.judge(&parts, parts.uri.path(), peer) {
                Ok(()) => 200,
                Err(problem) => problem.into_parts().0.status.as_u16(),
            }
        };
        let ours = "https://localhost:9090";
        let path = format!("{ours}/api/system/memory/optimize");
        assert_eq!(of(Version::HTTP_2, &path, ours), 200);
        assert_eq!(of(Version::HTTP_2, &path, "https://evil.example"), 403);
        let evil = "https://evil.example";
        assert_eq!(of(Version::HTTP_2, &format!("{evil}/"), evil), 421);
        assert_eq!(of(Version::HTTP_2, "/", ours), 400);
        assert_eq!(of(Version::HTTP_11, &path, ours), 400);
    }

    #[test]
    fn a_link_may_lead_to_the_page_and_another_page_may_not_use_it() {
        let open = access(false);
        let visit = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert_eq!(status(&open, LOCAL, "GET /", &visit), 200);
        assert_eq!(status(&open, LOCAL, STATS, &visit), 403);
        let script = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
        ];
        assert_eq!(status(&open, LOCAL, STATS, &script), 403);
        let socket = [("origin", "http://evil.example")];
        assert_eq!(status(&open, LOCAL, "GET /api/system/live", &socket), 403);
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_with_what_was_expected() {
        for token in [
            "",
            "short",
            "fifteen-letters",
            "with spaces in between it",
            "ünïcödé-ünïcödé",
        ] {
            let said = Access::default().set_token(token.to_owned()).unwrap_err();
            assert!(said.to_string().contains("expected 16 to 256"), "{said}");
        }
    }
}
