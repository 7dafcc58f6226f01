//! TotHub: a childcare service on SQLite that leaks on demand, and stays alive.
//!
//! ```text
//! cargo run --release --features full --example tothub -- --scenario leak --for 60 --limit 256MiB
//! ```
//!
//! It is small and real: axum in front, SQLite in a file behind, a cache of pages between them,
//! and Plimsoll under all of it. With `--scenario leak` it forgets some MiB a second, as a service
//! with a bug would; the monitor shrinks the cache, purges, and restarts the program in place
//! before the kernel ends it. Ten more scenarios, five leaks and five healthy loads, are there to
//! be told from each other, and `--record` keeps what the heap did. `--for` counts from the start
//! of the service, over all restarts, and ends with an account of what happened.
mod account;
mod caches;
mod flags;
mod gate;
mod process;
mod record;
mod report;
mod routes;
mod scenario;
mod store;
mod values;
mod watchdog;

use caches::Caches;
use flags::{Flags, Governor, Kind};
use gate::{Gate, Guarded, Peer};
use plimsoll::batch::Batches;
use plimsoll::http::{Admin, RequestLayer, Server};
use plimsoll::{EventKind, Fault, Level, Monitor, Restart, Withheld};
use report::Report;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Store;

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

/// What every request can reach.
struct App {
    store: Arc<Store>,
    caches: Caches,
    /// How large jobs are done.
    batches: Batches,
    /// Reports that may be made at once: each has a connection to the database, and a thread.
    reports: tokio::sync::Semaphore,
    monitor: Arc<Monitor>,
    requests: RequestLayer,
    gate: Arc<Gate>,
}

/// Reports at once, at the most: more are put off.
const REPORTS: usize = 4;

/// How long requests that are under way may take before a restart, and before the end.
const DRAIN: Duration = Duration::from_secs(10);

/// To standard output, which nobody may read any more: the service goes on all the same.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "tothub: {text}");
}

fn main() -> ExitCode {
    process::begin();
    let flags = match Flags::parse(std::env::args_os().skip(1)) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            say(flags::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            complain(&format!("{error}\n\n{}", flags::USAGE));
            return ExitCode::from(2);
        }
    };
    let wanted =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(wanted)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Nor does anybody have to read the log.
        .log_internal_errors(false)
        .init();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(kind) = flags.report {
        return report_and_end(flags, kind);
    }
    // First of all: who connects from now on waits, and is not refused.
    let listener = listen(flags.port)?;
    if let Some(path) = &flags.record {
        record::start(path, flags.record_interval)?;
    }
    let store = Arc::new(Store::open(&flags.data, flags.attendance_days)?);
    let caches = Caches::new()?;
    let gate = Arc::new(Gate::default());
    // Two workers: a small service on a small machine.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_park(plimsoll::on_thread_park)
        .enable_all()
        .build()?;
    let monitor = Arc::new(start_monitor(
        flags,
        &caches,
        &gate,
        runtime.handle().clone(),
    )?);
    #[cfg(unix)]
    monitor.hand_over("http", &listener)?;
    // Half a minute above the line at which the program may restart, then a trickle.
    let batches = Batches::builder()
        .monitor(&monitor)
        .pause_while(Level::Restart)
        .stop_when_ending(true)
        .build()?;
    let requests = RequestLayer::new(Arc::clone(&monitor));
    let app = Arc::new(App {
        store,
        caches,
        batches,
        reports: tokio::sync::Semaphore::new(REPORTS),
        monitor,
        requests,
        gate,
    });
    let _server = serve_admin(flags, &app)?;
    scenario::start(
        flags.scenario,
        flags.rates,
        flags.duration,
        &app.store,
        runtime.handle().clone(),
    )?;
    if flags.governor == Governor::Watchdog {
        watchdog::start(Arc::downgrade(&app))?;
    }
    runtime.block_on(serve(flags, listener, Arc::clone(&app)))?;
    // Blocking work that has not finished is not waited for.
    runtime.shutdown_background();
    say(&account::account(&app.monitor));
    Ok(())
}

fn start_monitor(
    flags: &Flags,
    caches: &Caches,
    gate: &Arc<Gate>,
    runtime: tokio::runtime::Handle,
) -> Result<Monitor, plimsoll::StartError> {
    let mut builder = caches.register(Monitor::builder());
    if let Some(bytes) = flags.limit {
        builder = builder.limit(bytes);
    }
    if let Some(interval) = flags.interval {
        builder = builder.interval(interval);
    }
    if flags.governor == Governor::On {
        let (closing, opening) = (Arc::clone(gate), Arc::clone(gate));
        builder = builder
            .restart(Restart::Exec)
            .cooldown(flags.cooldown)
            .restart_budget(flags.budget)
            .state_file(flags.data.join("plimsoll.state"))
            .drain(DRAIN, move |token| {
                let gate = Arc::clone(&closing);
                gate.announce();
                runtime.spawn(async move { gate.close(token).await });
            })
            .on_event(move |event| match event.kind {
                EventKind::Fault(Fault::ExecFailed(_))
                | EventKind::RestartWithheld(Withheld::PolicyChanged) => opening.open(),
                _ => {}
            });
        if let Some(time) = flags.sustained {
            builder = builder.sustained(time);
        }
    } else {
        builder = builder.observe_only();
    }
    builder.start()
}

/// The nightly report as a command: in a small container, where it belongs.
fn report_and_end(flags: &Flags, kind: Kind) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(&flags.data, flags.attendance_days)?;
    let begun = Instant::now();
    let (report, how) = match kind {
        Kind::AllAtOnce => (Report::all_at_once(&store)?, "all at once".to_owned()),
        Kind::InBatches => {
            let mut builder = Monitor::builder();
            if let Some(bytes) = flags.limit {
                builder = builder.limit(bytes);
            }
            let monitor = builder.start()?;
            let batches = Batches::builder().monitor(&monitor).build()?;
            let (report, done) = Report::in_batches(&store, &batches)?;
            (report, format!("in {} batches", done.batches))
        }
    };
    say(&format!(
        "{}\n{how}, in {:.2} s, with at most {:.1} MiB on the heap\n",
        serde_json::to_string_pretty(&report)?,
        begun.elapsed().as_secs_f64(),
        plimsoll::heap().peak_bytes() as f64 / f64::from(1 << 20)
    ));
    Ok(())
}

/// The surface of the program, which the routes have and, if wanted, a port of its own.
fn admin(app: &App) -> Admin {
    Admin::new(Arc::clone(&app.monitor)).requests(&app.requests)
}

/// It answers there while the service is stuck.
fn serve_admin(flags: &Flags, app: &App) -> Result<Option<Server>, Box<dyn std::error::Error>> {
    let Some(port) = flags.admin else {
        return Ok(None);
    };
    let server = admin(app).serve(&format!("127.0.0.1:{port}"))?;
    say(&format!(
        "its dashboard is on http://{} as well\n",
        server.address()
    ));
    Ok(Some(server))
}

/// The socket that an earlier image or the service manager hands over, or a new one.
fn listen(port: u16) -> Result<std::net::TcpListener, Box<dyn std::error::Error>> {
    let listener = match listenfd::ListenFd::from_env().take_tcp_listener(0)? {
        Some(listener) => listener,
        None => std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("cannot listen on port {port}: {error}"))?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(
    flags: &Flags,
    listener: std::net::TcpListener,
    app: Arc<App>,
) -> Result<(), Box<dyn std::error::Error>> {
    let listener = Guarded {
        listener: tokio::net::TcpListener::from_std(listener)?,
        gate: Arc::clone(&app.gate),
    };
    say(&format!(
        "tothub listens on http://{}\n",
        listener.listener.local_addr()?
    ));
    app.monitor.ready();
    let until = flags.duration;
    let routes = routes::router(Arc::clone(&app));
    let (told, ending) = tokio::sync::oneshot::channel();
    let serving = axum::serve(
        listener,
        routes.into_make_service_with_connect_info::<Peer>(),
    )
    .with_graceful_shutdown(async move {
        tokio::select! {
            () = time_is_up(until) => {}
            () = told_to_stop() => {}
        }
        // Before anything else: a restart that drains at this moment is not to follow.
        app.monitor.ending();
        let _ = told.send(());
    });
    let too_late = async {
        let _ = ending.await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving.into_future() => served?,
        // A request that never comes to its end keeps nobody from leaving.
        () = too_late => tracing::warn!("requests were under way when it ended"),
    }
    Ok(())
}

async fn time_is_up(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration.saturating_sub(process::age())).await,
        None => std::future::pending().await,
    }
}

async fn told_to_stop() {
    let terminated = async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            if let Ok(mut signal) = signal(SignalKind::terminate()) {
                signal.recv().await;
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
