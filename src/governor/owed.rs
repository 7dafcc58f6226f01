//! What the worker is still to be told, should its queue have been full: an action that hangs, and
//! calls for others behind it, do not make it forgotten.

use super::level::Level;
use super::worker::Job;
use crossbeam_channel::Sender;

/// Of each kind the last word counts.
#[derive(Default)]
pub(super) struct Owed {
    caps: Option<Level>,
    decay: Option<bool>,
    shedding: Option<bool>,
}

impl Owed {
    /// Caches may hold what this level allows; `None` when a round of actions tells them.
    pub(super) fn caps(&mut self, level: Option<Level>) {
        self.caps = level;
    }

    /// Decay times are to be tightened, or put back.
    pub(super) fn decay(&mut self, tight: bool) {
        self.decay = Some(tight);
    }

    /// New work is refused, or taken again: a row of the ledger.
    pub(super) fn shedding(&mut self, on: bool) {
        self.shedding = Some(on);
    }

    /// Hands over what there is room for.
    pub(super) fn hand_to(&mut self, worker: &Sender<Job>) {
        hand(&mut self.caps, Job::Caps, worker);
        hand(&mut self.decay, Job::TightenDecay, worker);
        hand(&mut self.shedding, Job::Shed, worker);
    }
}

fn hand<T: Copy>(owed: &mut Option<T>, job: fn(T) -> Job, worker: &Sender<Job>) {
    if let Some(what) = *owed
        && worker.try_send(job(what)).is_ok()
    {
        *owed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_handed_over_later_and_once() {
        let (jobs, queue) = crossbeam_channel::bounded(1);
        jobs.send(Job::Diagnose).unwrap();
        let mut owed = Owed::default();
        owed.caps(Some(Level::Critical));
        owed.decay(true);
        owed.shedding(true);
        owed.hand_to(&jobs);
        owed.caps(Some(Level::Normal));
        owed.decay(false);
        let mut handed = Vec::new();
        for _ in 0..6 {
            handed.extend(queue.try_recv());
            owed.hand_to(&jobs);
        }
        let expected = |job: &[Job]| {
            matches!(
                job,
                [
                    Job::Diagnose,
                    Job::Caps(Level::Normal),
                    Job::TightenDecay(false),
                    Job::Shed(true)
                ]
            )
        };
        assert!(expected(&handed), "{} jobs", handed.len());
    }
}
