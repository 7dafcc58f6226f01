//! Metrics as a real Prometheus takes them: names and units by its conventions, values that are the
//! monitor's, rules that load and alerts that fire, and a dashboard that asks for what there is.
#![cfg(all(target_os = "linux", feature = "http", feature = "prometheus"))]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod client;
mod tothub;

use client::get;
use plimsoll::export::prometheus::{CONTENT_TYPE, Exporter};
use plimsoll::http::{Admin, RequestLayer, RequestSettings};
use plimsoll::{ActionKind, HeapFigures, Level, Monitor, Plimsoll, Shrink};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll = Plimsoll::new();

struct Hostile;

impl Shrink for Hostile {
    fn name(&self) -> &str {
        "a \"name\" with \\ and\na line"
    }
    fn bytes(&self) -> u64 {
        77
    }
    fn shrink(&self, _: Level) -> u64 {
        0
    }
}

/// With a cache, an action and a request, so that every metric has a value.
fn monitor() -> (Arc<Monitor>, RequestLayer) {
    static MONITOR: OnceLock<(Arc<Monitor>, RequestLayer, Arc<Hostile>)> = OnceLock::new();
    let (monitor, layer, _) = MONITOR.get_or_init(|| {
        let cache = Arc::new(Hostile);
        let builder = Monitor::builder().limit(8 << 30).cache(&cache);
        let monitor = builder.interval(Duration::from_millis(20)).start().unwrap();
        let monitor = Arc::new(monitor);
        while monitor.last_parts().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        monitor.optimise().unwrap();
        let settings = RequestSettings::default().by_path();
        let layer = RequestLayer::with(Arc::clone(&monitor), settings);
        let inner = tower::service_fn(async |_: axum::http::Request<()>| {
            let body = axum::body::Body::empty();
            Ok::<_, std::convert::Infallible>(axum::http::Response::new(body))
        });
        let service = tower::Layer::layer(&layer, inner);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for path in ["/children", "/%22odd%5C"] {
            let request = axum::http::Request::builder().uri(path).body(()).unwrap();
            let asked = tower::ServiceExt::oneshot(service.clone(), request);
            drop(runtime.block_on(asked).unwrap());
        }
        (monitor, layer, cache)
    });
    (Arc::clone(monitor), layer.clone())
}

fn scrape() -> String {
    let (monitor, layer) = monitor();
    Exporter::new(monitor).requests(&layer).scrape()
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a tool of Prometheus' own on files, or on what it is given.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .current_dir(source("tests/prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: `tests/run.sh` installs it (Debian: prometheus)");
    tool.stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

#[test]
fn every_alert_fires_on_what_it_is_for_and_none_on_a_program_that_is_well() {
    let said = promtool(
        &["check", "rules", "../../src/export/prometheus/alerts.yml"],
        "",
    );
    assert!(said.contains("SUCCESS"), "{said}");
    promtool(&["test", "rules", "alerts_test.yml"], "");
    // Each rule is in the test, among those that are expected to fire.
    let rules = fs::read_to_string(source("src/export/prometheus/alerts.yml")).unwrap();
    let test = fs::read_to_string(source("tests/prometheus/alerts_test.yml")).unwrap();
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let mut count = 0;
    for name in names {
        let asked = test.matches(&format!("alertname: {name}\n")).count();
        let fires = format!("alertname: {name}\n        exp_alerts:");
        let fires = test.matches(&fires).count();
        assert!(fires > 0, "{name} fires on no program that is ill");
        // On one that is well, and on one that is nearly ill.
        assert!(asked >= fires + 2, "{name}: {asked} asked, {fires} fire");
        count += 1;
    }
    println!("{count} alerts");
    assert!(count > 0);
}

#[test]
fn metrics_follow_the_conventions() {
    let text = scrape();
    assert!(text.ends_with("# EOF\n"), "{text}");
    promtool(&["check", "metrics"], &classic());
    let mut families = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(families.insert(name.to_owned()), "{name} is there twice");
        assert!(
            name.starts_with("plimsoll") || name.starts_with("process_"),
            "{name}"
        );
        assert!(
            !name.ends_with("_total"),
            "{name}: the samples of a {kind} have that"
        );
        let help = format!("# HELP {name} ");
        let help = text.lines().find_map(|line| line.strip_prefix(&help));
        let help = help.unwrap_or_else(|| panic!("{name} has no help"));
        assert!(help.len() > 4 && help.ends_with('.'), "{name}: {help}");
        for (unit, ending) in [
            ("bytes", "_bytes"),
            ("seconds", "_seconds"),
            ("ratio", "_ratio"),
        ] {
            let told = text.contains(&format!("# UNIT {name} {unit}\n"));
            let is_rate = name.ends_with("_per_second");
            assert_eq!(told, name.ends_with(ending) && !is_rate, "{name} {unit}");
        }
    }
    println!("{} metrics", families.len());
    assert!(families.len() > 40, "{families:?}");
}

/// All metrics in Prometheus' older format, which `promtool` reads: through a registry, as an
/// application has it that registers the exporter in its own.
fn classic() -> String {
    let (monitor, layer) = monitor();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exporter::new(monitor).requests(&layer)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).unwrap();
    text
}

/// The value of a sample, by its name and labels.
fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| {
        let rest = line.strip_prefix(sample)?;
        rest.strip_prefix(' ')?.parse().ok()
    });
    found.unwrap_or_else(|| panic!("{sample} is not in\n{text}"))
}

/// What only grows lies between what it was before the scrape and what it is after.
#[test]
fn counters_are_the_heaps() {
    monitor();
    drop(vec![0u8; 100_000]);
    type Counter = (&'static str, fn(&HeapFigures) -> u64);
    let counters: [Counter; 6] = [
        ("heap_allocations", HeapFigures::allocations),
        ("heap_deallocations", HeapFigures::deallocations),
        ("heap_reallocations", HeapFigures::reallocations),
        ("heap_failed_allocations", HeapFigures::failed_allocations),
        ("heap_allocated_bytes", HeapFigures::allocated_bytes),
        ("heap_deallocated_bytes", HeapFigures::deallocated_bytes),
    ];
    let before = plimsoll::heap();
    let text = scrape();
    let after = plimsoll::heap();
    for (name, figure) in counters {
        let scraped = value(&text, &format!("plimsoll_{name}_total")) as u64;
        let bounds = figure(&before)..=figure(&after);
        assert!(bounds.contains(&scraped), "{name}: {scraped} in {bounds:?}");
    }
    let peak = value(&text, "plimsoll_heap_peak_bytes") as u64;
    assert!((before.peak_bytes()..=after.peak_bytes()).contains(&peak));
}

#[test]
fn parts_are_those_of_the_last_look() {
    let (monitor, _) = monitor();
    // The next look may fall into a scrape, so until one does not.
    let (parts, text) = loop {
        let (before, text) = (monitor.last_parts(), scrape());
        if before == monitor.last_parts() {
            break (before.unwrap(), text);
        }
    };
    for (part, bytes) in [
        ("live_heap", parts.live_heap_bytes),
        ("fragmentation", parts.fragmentation_bytes),
        ("thread_caches", parts.thread_cache_bytes),
        ("dirty", parts.dirty_bytes),
        ("metadata", parts.metadata_bytes),
        ("other_anonymous", parts.other_anonymous_bytes),
        ("file_backed", parts.file_backed_bytes),
    ] {
        let sample = format!("plimsoll_memory_bytes{{part=\"{part}\"}}");
        assert_eq!(value(&text, &sample), bytes as f64, "{part}");
    }
}

#[test]
fn values_are_the_monitors() {
    let (monitor, _) = monitor();
    let text = scrape();
    assert_eq!(
        value(&text, "plimsoll_limit_bytes{source=\"configured\"}"),
        (8u64 << 30) as f64
    );
    assert_eq!(value(&text, "plimsoll_level"), 0.0);
    assert_eq!(
        value(&text, "plimsoll_level_enter_ratio{level=\"critical\"}"),
        0.9
    );
    let live = value(&text, "plimsoll_heap_live_bytes");
    let now = plimsoll::heap().live_bytes() as f64;
    assert!((live - now).abs() < 0.5 * now, "{live} of {now}");
    assert_eq!(
        value(&text, "plimsoll_actions_total{action=\"shrink_caches\"}"),
        1.0
    );
    let by_action: u64 = ActionKind::ALL
        .iter()
        .map(|&kind| monitor.summary().of(kind).count)
        .sum();
    assert_eq!(by_action, monitor.summary().actions);
    let cache = r#"plimsoll_cache_bytes{cache="a \"name\" with \\ and\na line"}"#;
    assert_eq!(value(&text, cache), 77.0);
    let children = r#"{method="GET",route="/children"}"#;
    assert_eq!(
        value(
            &text,
            &format!("plimsoll_http_request_duration_seconds_count{children}")
        ),
        1.0
    );
    let most = r#"plimsoll_http_request_duration_seconds_bucket{le="+Inf",method="GET",route="/children"}"#;
    assert_eq!(value(&text, most), 1.0);
    assert_eq!(
        value(&text, "plimsoll_restart_budget"),
        0.0,
        "it never restarts"
    );
}

#[test]
fn the_surface_answers_them_in_their_media_type() {
    let (monitor, layer) = monitor();
    let server = Admin::new(monitor)
        .requests(&layer)
        .serve("127.0.0.1:0")
        .unwrap();
    let answer = get(server.address(), "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some(CONTENT_TYPE));
    assert!(
        answer
            .body
            .contains("plimsoll_http_request_allocated_bytes_total{"),
        "{answer:?}"
    );
}

/// All names of metrics in an expression of Prometheus' language.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression
        .split(move |c| !is_part(c))
        .filter(|word| word.starts_with("plimsoll_") || word.starts_with("process_"))
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let text = scrape();
    // By their types: what is not known yet has no sample.
    let known: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .flat_map(|(name, kind)| {
            let endings: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                "info" => &["_info"],
                _ => &[""],
            };
            endings.iter().map(move |ending| format!("{name}{ending}"))
        })
        .collect();
    let mut expressions = Vec::new();
    let rules = fs::read_to_string(source("src/export/prometheus/alerts.yml")).unwrap();
    expressions.extend(
        rules
            .lines()
            .filter_map(|line| line.trim().strip_prefix("expr: "))
            .map(str::to_owned),
    );
    let dashboard = fs::read_to_string(source("src/export/prometheus/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            expressions.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    expressions.extend(
        annotations
            .iter()
            .map(|one| one["expr"].as_str().unwrap().to_owned()),
    );
    let mut asked = 0;
    for expression in &expressions {
        for name in names(expression) {
            assert!(
                known.contains(name),
                "`{name}` of `{expression}` is no metric of ours"
            );
            asked += 1;
        }
    }
    println!("{} expressions with {asked} names", expressions.len());
    assert!(asked > 30);

    // Panels with numbers of their own, none on top of another.
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    let place = |panel: &Value, of: &str| panel["gridPos"][of].as_u64().unwrap();
    let cells: Vec<_> = panels
        .iter()
        .flat_map(|panel| {
            let (x, y) = (place(panel, "x"), place(panel, "y"));
            let (w, h) = (place(panel, "w"), place(panel, "h"));
            assert!(x + w <= 24, "{panel:#}");
            (x..x + w).flat_map(move |x| (y..y + h).map(move |y| (x, y)))
        })
        .collect();
    let distinct: BTreeSet<_> = cells.iter().collect();
    assert_eq!(distinct.len(), cells.len(), "panels overlap");
}

/// The answer of Prometheus' own interface.
fn query(prometheus: SocketAddr, path: &str) -> Option<Value> {
    std::net::TcpStream::connect(prometheus).ok()?;
    let answer = get(prometheus, path);
    (answer.status == 200).then(|| unchunked(&answer.body))
}

/// Prometheus sends longer answers in pieces.
fn unchunked(body: &str) -> Value {
    let from = body.find('{').unwrap_or(0);
    let to = body.rfind('}').map_or(body.len(), |end| end + 1);
    serde_json::from_str(&body[from..to]).unwrap_or(Value::Null)
}

/// A process that does not outlive its test, whatever that finds.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_a_service_and_loads_the_rules() {
    let data = tothub::filled();
    let flags = ["--limit", "512MiB", "--interval-ms", "200"];
    let service = tothub::Service::start(data.path(), &flags);
    let address = service.address;

    let folder = tempfile::tempdir().unwrap();
    let rules = source("src/export/prometheus/alerts.yml");
    let config = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n\
         rule_files:\n  - {}\n\
         scrape_configs:\n  - job_name: plimsoll\n    static_configs:\n      - targets: ['{address}']\n",
        rules.display()
    );
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let _prometheus = Command::new("prometheus")
        .arg(format!(
            "--config.file={}",
            folder.path().join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .arg(format!("--web.listen-address={port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Running)
        .expect("prometheus is missing: `tests/run.sh` installs it (Debian: prometheus)");

    let deadline = Instant::now() + Duration::from_secs(60);
    let sampled = |name: &str| -> Option<f64> {
        let answer = query(port, &format!("/api/v1/query?query={name}"))?;
        answer["data"]["result"][0]["value"][1]
            .as_str()?
            .parse()
            .ok()
    };
    let mut found = (None, None);
    while Instant::now() < deadline && !matches!(found, (Some(1.0), Some(_))) {
        std::thread::sleep(Duration::from_millis(250));
        found = (sampled("up"), sampled("plimsoll_heap_live_bytes"));
    }
    let target = query(port, "/api/v1/targets");
    let mut rules = Vec::new();
    while Instant::now() < deadline {
        let answer = query(port, "/api/v1/rules").unwrap_or_default();
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        rules = groups
            .filter_map(|group| group["rules"].as_array())
            .flatten()
            .cloned()
            .collect();
        let evaluated = |rule: &Value| rule["health"] != "unknown";
        if !rules.is_empty() && rules.iter().all(evaluated) {
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    drop(service);

    assert_eq!(found.0, Some(1.0), "{target:#?}");
    let live = found.1.unwrap();
    println!("live heap as Prometheus has it: {live}");
    assert!(live > 100_000.0);
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
        if rule["type"] == "alerting" {
            assert_eq!(rule["state"], "inactive", "{rule:#}");
        }
    }
    let written = fs::read_to_string(source("src/export/prometheus/alerts.yml")).unwrap();
    assert_eq!(rules.len(), written.matches("expr: ").count());
}
