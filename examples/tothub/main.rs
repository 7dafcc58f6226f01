//! TotHub: a childcare service on SQLite that leaks on demand, and stays alive.
//!
//! ```text
//! cargo run --release --features full --example tothub -- --scenario leak --for 60 --limit 256MiB
//! ```
//!
//! It is small and real: axum in front, SQLite in a file behind, a cache of pages between them,
//! and Plimsoll under all of it. With `--scenario leak` it forgets some MiB a second, as a service
//! with a bug would; the monitor shrinks the cache, purges, and restarts the program in place
//! before the kernel ends it. `--for` counts from the start of the process, over all restarts, and
//! ends with an account of what happened.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program, not a library"
)]

mod account;
mod flags;
mod leak;
mod pages;
mod process;
mod report;
mod routes;
mod store;

use flags::{Flags, Scenario};
use pages::Pages;
use plimsoll::{Monitor, Restart};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::Store;

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

/// What every request can reach.
pub struct App {
    store: Arc<Store>,
    pages: Arc<Pages>,
    monitor: Monitor,
}

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args().skip(1)) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            print!("{}", flags::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("tothub: {error}\n\n{}", flags::USAGE);
            return ExitCode::from(2);
        }
    };
    let wanted =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(wanted)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tothub: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(Store::open(&flags.data)?);
    let pages = Arc::new(Pages::default());
    let monitor = start_monitor(flags, &pages)?;
    let app = Arc::new(App {
        store,
        pages,
        monitor,
    });
    if let Scenario::Leak { mib_per_second } = flags.scenario {
        leak::start(mib_per_second)?;
    }
    // Two workers: a small service on a small machine.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(serve(flags, Arc::clone(&app)))?;
    // Blocking work that has not finished is not waited for.
    runtime.shutdown_background();
    print!("{}", account::account(&app.monitor));
    Ok(())
}

fn start_monitor(flags: &Flags, pages: &Arc<Pages>) -> Result<Monitor, plimsoll::StartError> {
    let mut builder = Monitor::builder().cache(pages);
    if let Some(bytes) = flags.limit {
        builder = builder.limit(bytes);
    }
    if flags.governor {
        builder = builder
            .restart(Restart::Exec)
            .cooldown(flags.cooldown)
            .restart_budget(flags.budget)
            .state_file(flags.data.join("plimsoll.state"));
    } else {
        builder = builder.observe_only();
    }
    builder.start()
}

async fn serve(flags: &Flags, app: Arc<App>) -> Result<(), Box<dyn std::error::Error>> {
    let address = (std::net::Ipv4Addr::LOCALHOST, flags.port);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on port {}: {error}", flags.port))?;
    println!("tothub listens on http://{}", listener.local_addr()?);
    let until = flags.duration;
    axum::serve(listener, routes::router(app))
        .with_graceful_shutdown(async move {
            tokio::select! {
                () = time_is_up(until) => {}
                () = told_to_stop() => {}
            }
        })
        .await?;
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
