//! The contract of the admin surface: every route answers with the fields that programs rely on, and
//! with those that its OpenAPI document names, and no others.
#![cfg(all(target_os = "linux", feature = "http"))]

mod client;

use axum::routing::get as route;
use client::{Answer, ask, get, post};
use plimsoll::http::{Admin, RequestLayer, ServeError, Server, router};
use plimsoll::{EventKind, Level, Monitor, Plimsoll, Restart, Shrink};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

const TOKEN: &str = "a-token-of-some-length";

struct Pages(Vec<u8>);

impl Shrink for Pages {
    fn name(&self) -> &str {
        "pages"
    }
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
    fn shrink(&self, _: Level) -> u64 {
        0
    }
}

/// The process's monitor, for one test at a time: some change its policy.
fn monitor() -> (Arc<Monitor>, MutexGuard<'static, ()>) {
    static MONITOR: OnceLock<(Arc<Monitor>, Arc<Pages>)> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (monitor, _) = MONITOR.get_or_init(|| {
        let pages = Arc::new(Pages(vec![1; 5_000]));
        let monitor = Monitor::builder()
            .limit(8 << 30)
            .interval(Duration::from_millis(50))
            .cache(&pages)
            .start()
            .unwrap();
        (Arc::new(monitor), pages)
    });
    while monitor.history().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    (Arc::clone(monitor), one)
}

/// With a request in its performance figures.
fn served(monitor: &Arc<Monitor>) -> Server {
    let requests = RequestLayer::new(Arc::clone(monitor));
    let app = axum::Router::<()>::new()
        .route("/children/{id}", route(async || "…"))
        .layer(requests.clone());
    let request = axum::http::Request::builder().uri("/children/5");
    let request = request.body(axum::body::Body::empty()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asked = tower::ServiceExt::oneshot(app, request);
    runtime.block_on(asked).unwrap();
    let admin = Admin::new(Arc::clone(monitor)).requests(&requests);
    admin.serve("127.0.0.1:0").unwrap()
}

const READS: [&str; 6] = [
    "/api/system/memory-stats",
    "/api/system/memory-details",
    "/api/system/memory/leak-analysis",
    "/api/system/auto-restart/status",
    "/api/system/performance",
    "/api/system/openapi.json",
];

/// All fields at these paths, with dots between levels.
fn assert_fields(value: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        let pointer = format!("/{}", field.replace('.', "/"));
        assert!(value.pointer(&pointer).is_some(), "`{field}` in {value:#}");
    }
}

#[test]
fn every_route_answers_with_the_fields_of_the_contract() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let address = server.address();
    for path in READS {
        let answer = get(address, path);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let stats = "heap.live_bytes heap.live_blocks heap.allocations heap.deallocations \
        heap.peak_bytes heap.threads allocator.allocated allocator.active allocator.resident \
        allocator.mapped allocator.retained allocator.metadata allocator.dirty \
        process.resident_bytes process.anonymous_bytes limit.bytes limit.source utilization.heap \
        utilization.resident utilization.deciding level uptime_seconds";
    let jemalloc = cfg!(feature = "jemalloc");
    let stats: String = stats
        .split_whitespace()
        .filter(|field| jemalloc || !field.starts_with("allocator."))
        .map(|field| format!("{field} "))
        .collect();
    assert_fields(&get(address, READS[0]).json(), &stats);
    // Caches have a moment to say what they hold.
    let deadline = Instant::now() + Duration::from_secs(20);
    let details = loop {
        let details = get(address, READS[1]).json();
        if details["caches_are_late"] == false {
            break details;
        }
        assert!(Instant::now() < deadline, "{details}");
    };
    assert_fields(&details, &stats);
    assert_fields(
        &details,
        "diagnosis.cause diagnosis.words threads.0.name threads.0.net_bytes caches.0.bytes \
         history.0.at_unix_seconds.0 history.4.interval_seconds ledger jemalloc_options events.0.words \
         summary.actions image.started_unix_seconds levels.critical.enter",
    );
    assert_eq!(
        details["caches"],
        json!([{ "name": "pages", "bytes": 5000, "keeps_cap": true, "statistics": null }])
    );
    assert_fields(
        &get(address, READS[2]).json(),
        "verdict pattern slope_bytes_per_hour slope_low slope_high confidence seconds_to_limit \
         severity recommendations",
    );
    assert_fields(
        &get(address, READS[3]).json(),
        "policy.cooldown_seconds policy.restart cooldown.remaining_seconds budget.remaining restarts",
    );
    let performance = get(address, READS[4]).json();
    assert_fields(
        &performance["routes"][0],
        "method route count p50 p95 p99 max slow very_slow allocated_bytes allocations",
    );
    assert_eq!(performance["routes"][0]["route"], "/children/{id}");

    let optimised = post(address, "/api/system/memory/optimize", "");
    assert_eq!(optimised.status, 200, "{optimised:?}");
    let rows = &optimised.json()["rows"];
    let actions: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["action"])
        .collect();
    assert_eq!(
        actions,
        [
            "shrink_caches",
            "flush_thread_caches",
            "trim_system_heap",
            "purge_arenas"
        ]
    );
    assert_fields(
        rows,
        "0.before.heap_bytes 0.given_back_bytes 0.duration_seconds 0.signal",
    );
    let ledger = get(address, READS[1]).json()["ledger"].clone();
    assert!(ledger.as_array().unwrap().len() >= 4, "{ledger:#}");
}

#[test]
fn what_is_answered_is_what_the_document_says() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let address = server.address();
    let document = get(address, "/api/system/openapi.json").json();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3."),
        "{document:#}"
    );
    // Something in the ledger, and a drill among the events.
    assert_eq!(
        post(address, "/api/system/memory/optimize", "{}").status,
        200
    );
    let drill = r#"{"pressure": 0.0, "seconds": 0.01}"#;
    let commands = [
        ("/api/system/memory/optimize", "", 200),
        ("/api/system/memory/drill", drill, 202),
        (
            "/api/system/memory/drill",
            r#"{"pressure": 3, "at": 1}"#,
            422,
        ),
        ("/api/system/auto-restart/config", "{}", 200),
        ("/api/system/auto-restart/config", r#"{"cooldown": 1}"#, 422),
        ("/api/system/auto-restart/restart", "", 409),
    ];
    let asked = READS[..5]
        .iter()
        .map(|path| ("get", *path, get(address, path), 200));
    let commanded =
        commands.map(|(path, body, status)| ("post", path, post(address, path, body), status));
    let mut seen = 0;
    for (method, path, answer, status) in asked.chain(commanded) {
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let pointer = format!(
            "/paths/{}/{method}/responses/{status}/content",
            path.replace('/', "~1")
        );
        let content = document.pointer(&pointer);
        let content = content.unwrap_or_else(|| panic!("{pointer} is not in the document"));
        let kind = answer.header("content-type").unwrap();
        let schema = &content[kind]["schema"];
        assert!(schema.is_object(), "{method} {path}: {kind} of {content}");
        let validator = strict(&document, schema);
        let value = answer.json();
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{method} {path}: {errors:#?}");
        seen += 1;
    }
    assert_eq!(seen, 11);
    // And a schema that would let anything pass would not find this.
    let schema = document.pointer("/components/schemas/MemoryStats").unwrap();
    let validator = strict(&document, schema);
    let right = get(address, READS[0]).json();
    for change in [
        json!({ "level": "high" }),
        json!({ "invented": 1 }),
        json!({ "heap": null }),
    ] {
        let mut wrong = right.clone();
        let fields = wrong.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        assert!(!validator.is_valid(&wrong), "{change}");
    }
}

/// Who reads the document and nothing else knows what may be sent, what is refused, and how to be let in.
#[test]
fn what_may_be_sent_is_what_the_document_says() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let address = server.address();
    let document = get(address, "/api/system/openapi.json").json();
    let body = |path: &str| {
        let path = path.replace('/', "~1");
        let pointer = format!("/paths/{path}/post/requestBody/content/application~1json/schema");
        strict(&document, document.pointer(&pointer).unwrap())
    };
    let (config, drill) = (
        "/api/system/auto-restart/config",
        "/api/system/memory/drill",
    );
    let before = monitor.policy();
    // And whether it is taken.
    for (path, sent, is_right) in [
        (config, json!({}), true),
        (
            config,
            json!({ "restart": null, "horizon_seconds": null }),
            true,
        ),
        (
            config,
            json!({ "levels": { "restart": { "enter": 0.81 } } }),
            true,
        ),
        (
            config,
            json!({ "levels": { "restart": { "enter": 1.5 } } }),
            false,
        ),
        (config, json!({ "levels": { "top": {} } }), false),
        (config, json!({ "cooldown_seconds": null }), false),
        (config, json!({ "cooldown_seconds": -1 }), false),
        (config, json!({ "budget_per_hour": 2.5 }), false),
        (config, json!({ "drain_deadline_seconds": 4000 }), false),
        (config, json!({ "invented": 1 }), false),
        (drill, json!({ "pressure": 0, "seconds": 0.01 }), true),
        (drill, json!({ "seconds": 0 }), false),
        (drill, json!({ "pressure": 2.1 }), false),
        (drill, json!({ "restart": "yes" }), false),
        (drill, json!({ "invented": 1 }), false),
    ] {
        let answer = post(address, path, &sent.to_string());
        let is_taken = [200, 202].contains(&answer.status);
        assert_eq!(is_taken, is_right, "{path} {sent}: {answer:?}");
        assert_eq!(body(path).is_valid(&sent), is_right, "{path} {sent}");
    }
    monitor.set_policy(before).unwrap();
    let whole = serde_json::to_value(get(address, READS[3]).json()["policy"].clone()).unwrap();
    assert!(
        body(config).is_valid(&whole),
        "what was answered can be sent"
    );
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert_eq!(operation["security"], json!([{}, { "token": [] }]));
            for status in ["400", "401", "403", "421"] {
                let content = &operation["responses"][status]["content"];
                let problem = &content["application/problem+json"]["schema"]["$ref"];
                let is_said = problem == "#/components/schemas/Problem";
                assert!(is_said, "{method} {path} {status}: {content}");
            }
        }
    }
    let scheme = &document["components"]["securitySchemes"]["token"]["scheme"];
    assert_eq!(scheme, "bearer");
}

/// A schema of the document, with all that it refers to, which lets no field pass that is not named.
fn strict(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    jsonschema::validator_for(&closed(document, &whole)).unwrap()
}

fn closed(document: &Value, schema: &Value) -> Value {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(all) => return all.iter().map(|one| closed(document, one)).collect(),
        other => return other.clone(),
    };
    let mut strict: serde_json::Map<_, _> = fields
        .iter()
        .map(|(name, value)| (name.clone(), closed(document, value)))
        .collect();
    if let Some(Value::Array(parts)) = fields.get("allOf") {
        // A part names less than the whole, so it is taken in as it stands, and left open.
        let open = |part: &Value| {
            let reference = part["$ref"].as_str().map(|reference| &reference[1..]);
            let named = reference.and_then(|pointer| document.pointer(pointer));
            let mut part = closed(document, named.unwrap_or(part));
            part.as_object_mut()
                .unwrap()
                .remove("unevaluatedProperties");
            part
        };
        strict.insert("allOf".into(), parts.iter().map(open).collect());
    }
    if fields.contains_key("properties") || fields.contains_key("allOf") {
        strict.insert("unevaluatedProperties".into(), json!(false));
    }
    Value::Object(strict)
}

#[test]
fn a_change_of_the_policy_is_in_force_at_once_and_a_wrong_one_changes_nothing() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let before = monitor.policy();
    let mut events = monitor.events();
    while events.try_next().is_some() {}
    let config = |body: &str| post(server.address(), "/api/system/auto-restart/config", body);

    let answer = config(r#"{"cooldown_seconds": 77, "levels": {"optimise": {"enter": 0.74}}}"#);
    assert_eq!(answer.status, 200, "{answer:?}");
    let whole = answer.json();
    assert_eq!(whole["cooldown_seconds"], 77.0);
    assert_eq!(
        whole["levels"]["optimise"],
        json!({ "enter": 0.74, "leave": 0.7 })
    );
    assert_eq!(whole["budget_per_hour"], 3);
    assert_eq!(monitor.policy().cooldown, Duration::from_secs(77));
    assert_eq!(monitor.levels().optimise.enter, 0.74);
    let status = get(server.address(), "/api/system/auto-restart/status").json();
    assert_eq!(status["policy"], whole);

    let changed = monitor.policy();
    let wrong = config(
        r#"{"cooldown_seconds": 1, "restart": "reboot", "levels": {"critical": {"enter": 0.5}}}"#,
    );
    assert_eq!(wrong.status, 422);
    assert_eq!(
        wrong.header("content-type"),
        Some("application/problem+json")
    );
    let problem = wrong.json();
    let fields: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["restart", "levels.critical.leave", "levels.critical.enter"],
        "{problem:#}"
    );
    assert_eq!(monitor.policy(), changed);
    monitor.set_policy(before).unwrap();
    for _ in 0..2 {
        let told = std::iter::from_fn(|| events.next_within(Duration::from_secs(20)));
        let mut told = told.map(|event| event.kind);
        assert!(told.any(|kind| matches!(kind, EventKind::Policy(_))));
    }
}

#[test]
fn of_two_changes_at_once_none_undoes_the_other() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let address = server.address();
    let before = monitor.policy();
    let change = |body: String| {
        let answer = post(address, "/api/system/auto-restart/config", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    for number in 1..=50 {
        std::thread::scope(|scope| {
            scope.spawn(|| change(format!("{{\"cooldown_seconds\": {number}}}")));
            scope.spawn(|| change(format!("{{\"sustained_seconds\": {number}}}")));
        });
        let seconds = Duration::from_secs(number);
        let policy = monitor.policy();
        assert_eq!((policy.cooldown, policy.sustained), (seconds, seconds));
    }
    monitor.set_policy(before).unwrap();
}

#[test]
fn a_restart_that_cannot_be_says_why() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let answer = post(server.address(), "/api/system/auto-restart/restart", "");
    assert_eq!(answer.status, 409);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("no way to restart is set"), "{detail}");
}

#[test]
fn errors_are_problem_details_wherever_they_come_from() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let address = server.address();
    let origin = format!("http://{address}");
    let page = [("Origin", &*origin)];
    let json = [("Origin", &*origin), ("Content-Type", "application/json")];
    let config = "POST /api/system/auto-restart/config";
    let large = format!("\"{}\"", "x".repeat(20_000));
    // Line, headers, body, status.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16);
    let cases: [Case<'_>; 9] = [
        ("GET /nowhere", &[], "", 404),
        ("GET /assets/nothing.js", &[], "", 404),
        ("DELETE /api/system/memory-stats", &page, "", 405),
        ("GET /api/system/live", &[], "", 400),
        (config, &json, "{", 400),
        (config, &page, "{}", 415),
        (config, &json, "[1]", 422),
        (config, &json, &large, 413),
        (
            "POST /api/system/memory/optimize",
            &json,
            "{\"now\": true}",
            422,
        ),
    ];
    for (line, headers, body, status) in cases {
        let answer = ask(address, line, headers, body);
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{line}");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_fields(&problem, "type title detail errors");
    }
    let wrong = ask(address, "DELETE /api/system/memory-stats", &page, "");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    let head = ask(address, "HEAD /api/system/memory-stats", &[], "");
    assert_eq!((head.status, &*head.body), (200, ""));
}

#[test]
fn a_drill_restarts_when_it_is_asked_to_and_not_otherwise() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    for restart in [false, true] {
        let mut events = monitor.events();
        while events.try_next().is_some() {}
        let sent = json!({ "pressure": 0.1, "seconds": 0.01, "restart": restart });
        let answer = post(
            server.address(),
            "/api/system/memory/drill",
            &sent.to_string(),
        );
        assert_eq!(answer.status, 202, "{answer:?}");
        let drill = loop {
            let event = events
                .next_within(Duration::from_secs(20))
                .expect("a drill");
            if let EventKind::Drill(drill) = event.kind {
                break drill;
            }
        };
        assert_eq!((drill.restarts(), drill.pressure()), (restart, 0.1));
        assert_eq!(drill.duration(), Duration::from_millis(10));
    }
}

/// On every kind of answer, errors as well.
#[test]
fn no_other_site_may_read_frame_or_guess_at_an_answer() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let page = get(server.address(), "/");
    let script = page.body.split('"').find(|part| part.ends_with(".js"));
    let expected = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    let wrong_host = [("Host", "evil.example")];
    for (line, headers, status, keeps) in [
        ("GET /", &[][..], 200, "no-cache"),
        (&format!("GET {}", script.unwrap()), &[], 200, "immutable"),
        ("GET /api/system/memory-stats", &[], 200, "no-store"),
        ("GET /api/system/nothing", &[], 404, "no-store"),
        (
            "DELETE /api/system/memory-stats",
            &[("Origin", "null")],
            403,
            "no-store",
        ),
        ("POST /api/system/memory/optimize", &[], 401, "no-store"),
        ("GET /api/system/memory-stats", &wrong_host, 421, "no-store"),
    ] {
        let answer = ask(server.address(), line, headers, "");
        assert_eq!(answer.status, status, "{line}");
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{name} of {line}");
        }
        let kept = answer.header("cache-control").unwrap();
        assert!(kept.contains(keeps), "{kept} of {line}");
    }
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let page = get(server.address(), "/");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert_eq!(
        policy,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut assets = 0;
    for attribute in ["src=\"", "href=\""] {
        for (_, rest) in page
            .body
            .match_indices(attribute)
            .map(|(at, _)| page.body.split_at(at))
        {
            let target = rest[attribute.len()..].split('"').next().unwrap();
            // The rest are places on the page, and links to the figures for programs.
            if !target.starts_with("/assets/") {
                let is_own = ["#", "data:", "/"]
                    .iter()
                    .any(|own| target.starts_with(own));
                assert!(is_own && !target.starts_with("//"), "{target}");
                continue;
            }
            let asset = get(server.address(), target);
            assert_eq!(asset.status, 200, "{target}");
            let kept = asset.header("cache-control").unwrap();
            assert!(kept.contains("immutable"), "{target}: {kept}");
            assert!(asset.body.len() > 1_000, "{target}");
            assets += 1;
        }
    }
    assert_eq!(assets, 2, "a script and a style sheet");
}

#[test]
fn a_socket_that_listens_already_is_served() {
    let (monitor, _one) = monitor();
    let admin = Admin::new(monitor);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let kept = listener.try_clone().unwrap();
    let address = listener.local_addr().unwrap();
    let server = admin.serve_on(listener).unwrap();
    assert_eq!(server.address(), address);
    assert_eq!(get(address, "/api/system/memory-stats").status, 200);
    drop(server);
    // As an image after this one would.
    let server = admin.serve_on(kept).unwrap();
    assert_eq!(get(address, "/api/system/memory-stats").status, 200);
    drop(server);
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let error = admin.serve_on(open).unwrap_err();
    assert!(matches!(error, ServeError::TokenRequired { .. }), "{error}");
}

#[test]
fn who_can_be_reached_by_others_has_a_token() {
    let (monitor, _one) = monitor();
    let admin = Admin::new(Arc::clone(&monitor));
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = admin.serve(address).unwrap_err();
        assert!(matches!(error, ServeError::TokenRequired { .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("expected a loopback address, or a token"),
            "{said}"
        );
    }
    for address in ["", "localhost:80", "127.0.0.1", "127.0.0.1:99999"] {
        let said = admin.serve(address).unwrap_err().to_string();
        assert!(
            said.contains(&format!("{address:?}: expected an IP address")),
            "{said}"
        );
    }
    let server = admin.token(TOKEN).unwrap().serve("0.0.0.0:0").unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    let path = "/api/system/memory-stats";
    let refused = get(address, path);
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"plimsoll\"")
    );
    let bearer = format!("Bearer {TOKEN}");
    let let_in = ask(
        address,
        &format!("GET {path}"),
        &[("Authorization", &bearer)],
        "",
    );
    assert_eq!(let_in.status, 200);
    // The same port is taken now.
    let taken = server.address().to_string();
    let admin = Admin::new(monitor).token(TOKEN).unwrap();
    let said = admin.serve(&taken).unwrap_err().to_string();
    assert!(
        said.starts_with(&format!("cannot listen on {taken}")),
        "{said}"
    );
}

#[test]
fn nested_in_an_application_it_finds_its_own_paths() {
    let (monitor, _one) = monitor();
    let app = axum::Router::<()>::new()
        .route("/", route(async || "the application"))
        .nest("/admin", router(Arc::clone(&monitor)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let unknown = app.clone();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    runtime.spawn(async move { axum::serve(listener, service).await });
    assert_eq!(get(address, "/").body, "the application");
    assert_eq!(get(address, "/admin/api/system/memory-stats").status, 200);
    let page = get(address, "/admin").body;
    assert!(page.contains("\"/admin/assets/dashboard-"), "{page}");

    // A server that does not tell who asks: nobody may.
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, unknown).await });
    let refused = get(address, "/admin/api/system/memory-stats");
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("into_make_service_with_connect_info"),
        "{refused:?}"
    );
    assert_eq!(get(address, "/").status, 200);
}

#[test]
fn a_server_that_is_dropped_has_ended() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let address = server.address();
    let kept = std::net::TcpStream::connect(address).unwrap();
    server.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
    let again = Admin::new(monitor).serve(&address.to_string()).unwrap();
    assert_eq!(get(again.address(), "/api/system/memory-stats").status, 200);
    drop(kept);
}

/// As when they all come back after a restart.
#[test]
fn dashboards_that_ask_at_once_are_answered_from_one_copy() {
    const DASHBOARDS: usize = 64;
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let address = server.address();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n",
        READS[1]
    );
    let mut all: Vec<_> = (0..DASHBOARDS)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    let mut bodies: Vec<_> = all
        .iter_mut()
        .map(|stream| {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text.split_once("\r\n\r\n").unwrap().1.to_owned()
        })
        .collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert!(bodies.len() < DASHBOARDS / 4, "{} copies", bodies.len());
    // And yet nobody misses what he has just done.
    for number in 1..4 {
        let details = || get(address, READS[1]).json();
        let before = details()["ledger"].as_array().unwrap().len();
        monitor.optimise().unwrap();
        let after = details()["ledger"].as_array().unwrap().len();
        assert!(
            after > before || after == 256,
            "{number}: {before}, then {after}"
        );
    }
}

/// What it keeps for itself is kept once, however often it is begun anew.
#[cfg(feature = "jemalloc")]
#[test]
fn servers_that_follow_each_other_share_one_arena() {
    let (monitor, _one) = monitor();
    let arenas = || {
        let server = Admin::new(Arc::clone(&monitor)).serve("127.0.0.1:0");
        let stats = get(server.unwrap().address(), READS[0]).json();
        stats["allocator"]["arenas"].as_u64().unwrap()
    };
    let first = arenas();
    for _ in 0..4 {
        assert_eq!(arenas(), first);
    }
}

#[test]
fn what_memory_was_made_of_goes_on() {
    let (monitor, _one) = monitor();
    let server = served(&monitor);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let details: Answer = get(server.address(), "/api/system/memory-details");
        let details = details.json();
        let seconds = &details["history"][0];
        let at = seconds["at_unix_seconds"].as_array().unwrap();
        for column in [
            "live_heap_bytes",
            "anonymous_bytes",
            "other_anonymous_bytes",
        ] {
            assert_eq!(
                seconds[column].as_array().unwrap().len(),
                at.len(),
                "{column}"
            );
        }
        if at.len() >= 3 {
            let at: Vec<f64> = at.iter().map(|at| at.as_f64().unwrap()).collect();
            assert!(at.windows(2).all(|pair| pair[0] < pair[1]), "{at:?}");
            let live = seconds["live_heap_bytes"][1].as_u64().unwrap();
            assert!(live > 0);
            return;
        }
        assert!(Instant::now() < deadline, "{seconds:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_policy_can_say_how_to_restart_where_none_was_set() {
    let (monitor, _one) = monitor();
    let before = monitor.policy();
    let mut policy = before;
    policy.how = Some(Restart::Exit(3));
    policy.budget_per_hour = 0;
    let said = monitor.set_policy(policy).unwrap_err().to_string();
    assert_eq!(
        said,
        "`restart_budget` is 0: expected 1 to 1000; no `restart` at all for none"
    );
    assert_eq!(monitor.policy(), before);
    policy.budget_per_hour = 500;
    monitor.set_policy(policy).unwrap();
    assert_eq!(monitor.restart_outlook().policy, policy);
    monitor.set_policy(before).unwrap();
}
