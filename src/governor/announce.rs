//! The thread that tells the program, named `plimsoll-call`: log, callbacks, and the drain. A
//! callback that hangs keeps neither an action nor a restart from happening.

use super::event::{Event, EventKind, EventReader, Fault};
use super::latency::{Children, ShortSlices};
use super::restart::Drain;
use super::shared::Shared;
use crate::caught::caught;
use crate::trend::Severity;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Called with every event, on a thread of the monitor's.
pub(super) type Callback = Box<dyn Fn(&Event) + Send>;

/// Called before a restart.
pub(super) type DrainHook = Box<dyn FnMut(Drain) + Send>;

pub(super) struct Announcer {
    pub(super) shared: Arc<Shared>,
    pub(super) events: EventReader,
    pub(super) callbacks: Vec<Callback>,
    pub(super) drain: Option<DrainHook>,
    /// To be named where it cannot be written.
    pub(super) state_file: Option<PathBuf>,
}

impl Announcer {
    pub(super) fn run(mut self) {
        // A callback is to hear of a crossing as soon as the monitor's thread does.
        ShortSlices::ask(Children::DoNot);
        while let Some(event) = self.events.next() {
            // Who takes the log is the program's too.
            let mut panicked = caught(|| log(&event, self.state_file.as_deref())).is_none();
            for callback in &self.callbacks {
                panicked |= caught(|| callback(&event)).is_none();
            }
            if let EventKind::Restarting(_) = event.kind {
                panicked |= self.begin_drain().is_none();
            }
            // Not for the news of it: it might panic at that too.
            let is_news = !matches!(event.kind, EventKind::Fault(Fault::CallbackPanicked));
            if panicked && is_news {
                let fault = EventKind::Fault(Fault::CallbackPanicked);
                self.shared.bus.send(fault);
            }
        }
    }

    /// The token goes to the hook; without one it ends here, and with it the drain.
    fn begin_drain(&mut self) -> Option<()> {
        let token = Drain::new(Arc::clone(&self.shared.draining));
        match &mut self.drain {
            Some(hook) => caught(|| hook(token)),
            None => Some(()),
        }
    }
}

fn log(event: &Event, state_file: Option<&Path>) {
    match event.kind {
        EventKind::Started { limit } => {
            tracing::info!(limit_bytes = limit.bytes, source = %limit.source, "monitor started");
        }
        EventKind::Level { from, to, pressure } => {
            let (heap, resident) = (pressure.heap, pressure.resident);
            let (deciding, growth) = (pressure.deciding.as_str(), pressure.growth);
            if to > from {
                tracing::warn!(%from, %to, deciding, heap, resident, growth, "memory level rises");
            } else {
                tracing::info!(%from, %to, deciding, heap, resident, "memory level falls");
            }
        }
        EventKind::Limit { from, to } => {
            tracing::info!(from = from.bytes, to = to.bytes, source = %to.source, "limit changed");
        }
        EventKind::Action(row) => tracing::info!(
            action = row.action.as_str(),
            level = %row.level,
            signal = %row.signal,
            given_back_bytes = row.given_back_bytes,
            duration_us = row.duration.as_micros() as u64,
            skipped = row.skipped.map(|why| why.as_str()),
            "memory action"
        ),
        EventKind::Diagnosis(found) => tracing::info!(
            cause = found.cause.as_str(),
            remedy = found.remedy.as_str(),
            "{found}"
        ),
        EventKind::Leak(news) => {
            let (severity, slope) = (news.severity.as_str(), news.slope_bytes_per_hour);
            let (confidence, seconds) = (news.confidence, news.seconds_to_limit);
            match news.severity {
                Severity::None => tracing::info!(confidence, "{news}"),
                Severity::Low | Severity::Medium => {
                    tracing::warn!(severity, slope, confidence, seconds, "{news}");
                }
                _ => tracing::error!(severity, slope, confidence, seconds, "{news}"),
            }
        }
        EventKind::Shedding(true) => tracing::warn!("new work is refused"),
        EventKind::Shedding(false) => tracing::info!("new work is taken again"),
        EventKind::RestartWithheld(why) => {
            tracing::warn!(%why, "a restart is due and withheld");
        }
        EventKind::Restarting(record) => tracing::warn!(
            level = %record.level,
            signal = %record.signal,
            heap_bytes = record.heap_bytes,
            resident_bytes = record.resident_bytes,
            limit_bytes = record.limit_bytes,
            "restarting"
        ),
        EventKind::EarlyWake(source) => tracing::info!(%source, "memory is short: looking now"),
        EventKind::Drill(drill) => tracing::warn!(pressure = drill.pressure(), "a drill begins"),
        EventKind::Policy(policy) => tracing::warn!(?policy, "the policy was changed"),
        EventKind::Lost { events } => tracing::warn!(events, "events were lost: too slow"),
        EventKind::Fault(fault) => {
            let is_unwritable = matches!(fault, Fault::StateUnwritable(_));
            let path = state_file.filter(|_| is_unwritable);
            let path = path.map(|path| tracing::field::display(path.display()));
            tracing::error!(%fault, state_file = path, "memory monitor");
        }
    }
}
