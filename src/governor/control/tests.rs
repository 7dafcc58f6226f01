//! Hours at a level, in a moment: the state machine with a made-up clock.
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod judgement;

use super::*;
use crate::governor::Restart;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 512 * MIB;

/// A process whose figure is a function of time, and an action that gives back what it is told.
struct Simulation {
    control: Control,
    now: Duration,
    restarts: Vec<RestartRecord>,
    baseline_bytes: Option<u64>,
    /// Rounds in which the purge was due.
    rounds: u32,
    gives_back: u64,
    /// The worker is at a round that began then, and takes no other.
    busy_since: Option<Duration>,
    drill: Option<Drilled>,
    line_ahead: Option<Duration>,
    limit_ahead: Option<Duration>,
    is_tidal: bool,
    looks: u32,
}

fn policy() -> Policy {
    Policy {
        how: Some(Restart::Exec),
        ..Policy::default()
    }
}

impl Simulation {
    fn new(policy: Policy) -> Simulation {
        Simulation::with_seed(policy, 0)
    }

    fn with_seed(policy: Policy, seed: u64) -> Simulation {
        Simulation {
            control: Control::new(Plan {
                interval: Duration::from_secs(1),
                policy,
                seed,
            }),
            now: Duration::ZERO,
            restarts: Vec::new(),
            baseline_bytes: Some(20 * MIB),
            rounds: 0,
            gives_back: 0,
            busy_since: None,
            drill: None,
            line_ahead: None,
            limit_ahead: None,
            is_tidal: false,
            looks: 0,
        }
    }

    fn look(&mut self, bytes: u64) -> Orders {
        self.looks += 1;
        let sight = Sight {
            now: self.now,
            ran: self.now,
            held: Held {
                heap_bytes: bytes,
                resident_bytes: bytes,
            },
            limit: LIMIT,
            drill: self.drill,
            busy_since: self.busy_since,
            line_ahead: self.line_ahead,
            limit_ahead: self.limit_ahead,
            is_tidal: self.is_tidal,
        };
        let past = Past {
            restarts: &self.restarts,
            baseline_bytes: self.baseline_bytes,
            is_kept: true,
            unix_seconds: 1_000_000 + self.now.as_secs(),
            uptime: self.now,
        };
        let orders = self.control.see(&sight, &past);
        if orders.actions.contains(&true) && self.busy_since.is_none() {
            self.rounds += u32::from(orders.actions[3]);
            let gave = orders.actions.map(|due| due.then_some(self.gives_back));
            self.control.acted(self.now, self.now, orders.excess, gave);
        }
        self.now += orders.interval;
        orders
    }

    /// A minute in which little is held.
    fn warm_up(&mut self) {
        for _ in 0..60 {
            self.look(20 * MIB);
        }
    }

    /// Looks until something other than "not due" comes of the restart; `None` at the end.
    fn verdict(&mut self, end: u64, bytes: impl Fn(f64) -> u64) -> Option<(f64, Verdict)> {
        while self.now < Duration::from_secs(end) {
            let at = self.now.as_secs_f64();
            let verdict = self.look(bytes(at)).restart;
            if verdict != Verdict::NotDue {
                return Some((at, verdict));
            }
        }
        None
    }
}

fn mib(value: f64) -> u64 {
    (value * MIB as f64) as u64
}

#[test]
fn at_a_level_that_nothing_can_lower_the_purge_runs_at_most_twenty_times_in_ten_minutes() {
    for share in [0.78, 0.82, 0.95] {
        let mut run = Simulation::new(Policy::default());
        while run.now < Duration::from_secs(600) {
            run.look(mib(512.0 * share));
        }
        println!(
            "{} purges in ten minutes at {share} of the limit, {} looks",
            run.rounds, run.looks
        );
        assert!((5..=20).contains(&run.rounds), "{} at {share}", run.rounds);
    }
}

#[test]
fn an_action_that_helps_is_repeated_without_waiting_longer() {
    let mut run = Simulation::new(Policy::default());
    run.gives_back = 100 * MIB;
    while run.now < Duration::from_secs(60) {
        run.look(mib(400.0));
    }
    assert!(run.rounds >= 50, "{}", run.rounds);
}

#[test]
fn an_edge_fires_once_and_the_next_level_begins_its_actions_anew() {
    let mut run = Simulation::new(Policy::default());
    let mut edges = Vec::new();
    for bytes in [
        300.0, 390.0, 391.0, 384.0, 415.0, 416.0, 470.0, 471.0, 400.0, 340.0,
    ] {
        let orders = run.look(mib(bytes));
        edges.extend(orders.level.map(|(_, to)| to));
        if orders.level.is_some_and(|(from, to)| to > from) {
            assert_eq!(orders.actions, [true; 4]);
        }
        run.now += Duration::from_secs(100);
    }
    let expected = [
        Level::Optimise,
        Level::Restart,
        Level::Critical,
        Level::Restart,
        Level::Normal,
    ];
    assert_eq!(edges, expected);
}

#[test]
fn a_round_that_was_begun_for_a_lower_level_does_not_put_off_the_first_of_a_higher_one() {
    let mut run = Simulation::new(Policy::default());
    run.busy_since = Some(run.now);
    run.look(mib(400.0));
    let entered = run.look(mib(480.0));
    assert_eq!(entered.level, Some((Level::Optimise, Level::Critical)));
    let began = run.busy_since.take().unwrap();
    run.control
        .acted(run.now, began, entered.excess, [Some(0); 4]);
    assert_eq!(run.look(mib(480.0)).actions, [true; 4]);
    // And one of its own does put off the next.
    assert_eq!(run.look(mib(480.0)).actions, [false; 4]);
}

#[test]
fn a_leak_at_any_rate_is_restarted_before_the_limit() {
    for rate in [0.2, 1.0, 10.0, 100.0] {
        let mut run = Simulation::new(policy());
        let bytes = |at: f64| mib(20.0 + (at - 6.0).max(0.0) * rate);
        let (at, verdict) = run.verdict(10_000, bytes).unwrap();
        assert!(
            matches!(verdict, Verdict::Due { .. }),
            "{verdict:?} at {rate} MiB/s"
        );
        let share = bytes(at) as f64 / LIMIT as f64;
        assert!((0.80..0.93).contains(&share), "{share} at {rate} MiB/s");
    }
}

#[test]
fn times_without_end_are_waited_for_without_end() {
    let without_end = Policy {
        sustained: Duration::MAX,
        check_interval: Duration::MAX,
        cooldown: Duration::MAX,
        horizon: Duration::MAX,
        ..policy()
    };
    let mut run = Simulation::new(without_end);
    run.control.ready();
    run.look(mib(20.0));
    assert_eq!(run.verdict(3600, |_| mib(420.0)), None);
    // What is judged once, as it is critical, is not judged again once it no longer is.
    let mut run = Simulation::new(Policy {
        sustained: Duration::ZERO,
        ..without_end
    });
    run.restarts.push(RestartRecord {
        at_unix_seconds: 999_000,
        ..RestartRecord::EMPTY
    });
    run.control.ready();
    run.look(mib(20.0));
    let (_, verdict) = run.verdict(3600, |_| mib(420.0)).unwrap();
    assert!(matches!(
        verdict,
        Verdict::Withheld(Withheld::Cooldown { .. })
    ));
    for _ in 0..100 {
        assert_eq!(run.look(mib(420.0)).restart, verdict);
    }
}

#[test]
fn a_slow_leak_is_left_to_time_and_restarted_when_it_is_critical() {
    let mut run = Simulation::new(policy());
    // 20 MiB an hour: at the line, five hours are left.
    let bytes = |at: f64| mib(405.0 + at * 20.0 / 3600.0);
    run.control.ready();
    run.look(mib(20.0));
    let (at, verdict) = run.verdict(100_000, bytes).unwrap();
    assert!(bytes(at) as f64 >= 0.8 * LIMIT as f64);
    let Verdict::Withheld(Withheld::TimeRemains {
        seconds: Some(left),
    }) = verdict
    else {
        panic!("{verdict:?}");
    };
    assert!((4 * 3600..6 * 3600).contains(&left), "{left}");
}

#[test]
fn a_restart_waits_until_the_figure_has_stayed_and_not_while_it_falls() {
    let flat = Policy {
        horizon: Duration::MAX,
        ..policy()
    };
    let mut run = Simulation::new(flat);
    run.control.ready();
    run.look(mib(20.0));
    let begun = run.now.as_secs_f64();
    let (at, verdict) = run.verdict(1000, |_| mib(420.0)).unwrap();
    assert_eq!(verdict, Verdict::Due { left: None });
    assert!(at - begun >= 10.0, "{at}");

    let mut run = Simulation::new(flat);
    run.control.ready();
    run.look(mib(20.0));
    let falling = |at: f64| mib(450.0 - (at - 1.0) * 3.0);
    let verdict = run.verdict(1000, falling).unwrap().1;
    assert_eq!(verdict, Verdict::Withheld(Withheld::Falling));
}

#[test]
fn a_drill_hides_no_restart_that_is_really_due() {
    for pressure in [0.1, 0.81, 0.95] {
        let mut run = Simulation::new(policy());
        run.control.ready();
        run.look(mib(20.0));
        run.drill = Some(Drilled {
            pressure,
            restarts: false,
        });
        // Above the line by the drill alone, a restart is withheld; by a leak it is not.
        let flat = run.verdict(60, |_| mib(100.0));
        if pressure >= 0.8 {
            let drilled = Verdict::Withheld(Withheld::Drill);
            assert_eq!(flat.map(|(_, verdict)| verdict), Some(drilled));
        } else {
            assert_eq!(flat, None);
        }
        let begun = run.now.as_secs_f64();
        let bytes = |at: f64| mib(100.0 + (at - begun) * 10.0);
        let due = loop {
            let at = run.now.as_secs_f64();
            if let Verdict::Due { .. } = run.look(bytes(at)).restart {
                break bytes(at) as f64 / LIMIT as f64;
            }
            assert!(bytes(at) < LIMIT, "withheld up to the limit at {pressure}");
        };
        assert!((0.79..0.85).contains(&due), "{due} at {pressure}");
    }
}

#[test]
fn a_drill_makes_no_restart_due_that_is_rightly_withheld() {
    for pressure in [0.85, 0.95, 0.99] {
        let mut run = Simulation::new(policy());
        run.control.ready();
        run.look(mib(20.0));
        run.drill = Some(Drilled {
            pressure,
            restarts: true,
        });
        // Above the line and flat.
        let bytes = mib(420.0);
        while run.now < Duration::from_secs(600) {
            let verdict = run.look(bytes).restart;
            let remains = matches!(verdict, Verdict::Withheld(Withheld::TimeRemains { .. }));
            assert!(
                remains || verdict == Verdict::NotDue,
                "{verdict:?} at {pressure}"
            );
        }
    }
}

/// An index that is loaded, say.
#[test]
fn a_step_above_the_line_is_left_to_time() {
    for before in [0.0, 2.0, 30.0, 300.0] {
        let mut run = Simulation::new(policy());
        run.control.ready();
        run.look(mib(20.0));
        let bytes = |at: f64| if at < before { mib(300.0) } else { mib(420.0) };
        while run.now < Duration::from_secs(1000) {
            let verdict = run.look(bytes(run.now.as_secs_f64())).restart;
            let is_due = matches!(verdict, Verdict::Due { .. });
            assert!(!is_due, "{verdict:?} at {:?}, step at {before}", run.now);
        }
    }
}

#[test]
fn a_long_drain_makes_no_peak_urgent_and_a_leak_in_time() {
    let patient = Policy {
        drain_deadline: Duration::from_secs(600),
        ..policy()
    };
    // A request takes 4 MiB within a second, above the line.
    let mut run = Simulation::new(patient);
    run.control.ready();
    run.look(mib(20.0));
    let peak = |at: f64| {
        let request = if (100.0..103.0).contains(&at) {
            at - 100.0
        } else {
            0.0
        };
        mib(407.0 + 4.0 * request.min(1.0))
    };
    assert_eq!(run.verdict(200, peak), None);
    // A leak that leaves five minutes at the line is restarted there, not at the critical one.
    let mut run = Simulation::new(patient);
    run.control.ready();
    run.look(mib(20.0));
    let leak = |at: f64| mib(200.0 + at / 3.0);
    let (at, verdict) = run.verdict(2000, leak).unwrap();
    assert!(
        matches!(verdict, Verdict::Due { left: Some(_) }),
        "{verdict:?}"
    );
    let share = leak(at) as f64 / LIMIT as f64;
    assert!((0.80..0.81).contains(&share), "{share}");
}

#[test]
fn what_a_drill_pretended_does_not_count_as_sustained() {
    let mut run = Simulation::new(Policy {
        horizon: Duration::MAX,
        ..policy()
    });
    run.control.ready();
    run.look(mib(20.0));
    run.drill = Some(Drilled {
        pressure: 0.85,
        restarts: false,
    });
    while run.now < Duration::from_secs(60) {
        run.look(mib(100.0));
    }
    let begun = run.now;
    while run.look(mib(420.0)).restart != (Verdict::Due { left: None }) {
        assert!(run.now < begun + Duration::from_secs(60));
    }
    assert!(
        run.now >= begun + Duration::from_secs(10),
        "{:?}",
        run.now - begun
    );
}

/// Those that started together, and leak alike, restart one after the other: within a tenth of their
/// age, the cooldown, or half of what is left, whichever is least.
#[test]
fn restarts_that_are_not_urgent_are_spread() {
    let at = |seed| {
        let mut run = Simulation::with_seed(policy(), seed);
        run.control.ready();
        run.look(mib(20.0));
        // At the line after 1000 s: a tenth of that is the least of the three.
        let (at, verdict) = run
            .verdict(5000, |at| mib(205.0 + at * 0.2048))
            .expect("it is restarted");
        assert!(matches!(verdict, Verdict::Due { .. }), "{verdict:?}");
        at
    };
    let [first, middle, last] = [0, u64::MAX / 2, u64::MAX].map(at);
    println!("restarted after {first:.0} s, {middle:.0} s and {last:.0} s");
    assert!((1000.0..1020.0).contains(&first), "{first}");
    assert!((0.045..0.055).contains(&(middle / first - 1.0)), "{middle}");
    assert!((0.095..0.105).contains(&(last / first - 1.0)), "{last}");

    // One that is urgent is not put off.
    let urgent = |seed| {
        let mut run = Simulation::with_seed(policy(), seed);
        run.control.ready();
        run.look(mib(20.0));
        run.verdict(5000, |at| mib(20.0 + at * 20.0)).unwrap().0
    };
    assert_eq!(urgent(0), urgent(u64::MAX));
}

#[test]
fn a_peak_that_passes_within_seconds_is_let_pass() {
    let mut run = Simulation::new(policy());
    run.control.ready();
    run.look(mib(20.0));
    let peak = |at: f64| {
        if (20.0..27.0).contains(&at) {
            mib(420.0)
        } else {
            mib(100.0)
        }
    };
    assert_eq!(run.verdict(600, peak), None);
}

#[test]
fn a_start_near_the_line_is_too_low_a_threshold_whatever_is_remembered() {
    for remembered in [None, Some(20 * MIB)] {
        let mut run = Simulation::new(policy());
        run.baseline_bytes = remembered;
        let (_, verdict) = run.verdict(1000, |_| mib(430.0)).unwrap();
        assert!(
            matches!(verdict, Verdict::Withheld(Withheld::ThresholdTooLow { .. })),
            "{verdict:?}"
        );
    }
    // And what is remembered counts while the start lasts.
    let mut run = Simulation::new(policy());
    run.baseline_bytes = Some(400 * MIB);
    let (_, verdict) = run.verdict(1000, |at| mib(300.0 + at * 10.0)).unwrap();
    assert!(matches!(
        verdict,
        Verdict::Withheld(Withheld::ThresholdTooLow { .. })
    ));
}

#[test]
fn a_spent_budget_sheds_until_the_level_is_left() {
    let mut run = Simulation::new(Policy {
        cooldown: Duration::ZERO,
        ..policy()
    });
    run.control.ready();
    run.look(mib(20.0));
    for age in [10, 20, 30] {
        run.restarts.push(RestartRecord {
            at_unix_seconds: 1_000_000 - age,
            ..RestartRecord::EMPTY
        });
    }
    let mut shed = Vec::new();
    for step in 0..400 {
        shed.extend(run.look(mib(400.0 + f64::from(step) * 0.1)).shedding);
    }
    assert_eq!(shed, [true]);
    for _ in 0..100 {
        shed.extend(run.look(mib(100.0)).shedding);
    }
    assert_eq!(shed, [true, false]);
}

/// A service that grows by 10 MiB a minute while it takes load, and not while it refuses it.
#[test]
fn shedding_neither_flaps_while_the_budget_is_spent_nor_outlasts_that() {
    let mut run = Simulation::new(Policy {
        cooldown: Duration::ZERO,
        ..policy()
    });
    run.control.ready();
    run.look(mib(20.0));
    for age in [10, 20, 30] {
        run.restarts.push(RestartRecord {
            at_unix_seconds: 1_000_000 - age,
            ..RestartRecord::EMPTY
        });
    }
    let (mut bytes, mut sheds) = (400.0, false);
    let mut flips = Vec::new();
    let mut restarts = None;
    while restarts.is_none() && run.now < Duration::from_secs(7200) {
        let orders = run.look(mib(bytes));
        if let Some(on) = orders.shedding {
            sheds = on;
            flips.push((on, run.now.as_secs()));
        }
        let rate = if sheds { 0.0 } else { 10.0 / 60.0 };
        bytes += rate * orders.interval.as_secs_f64();
        restarts = matches!(orders.restart, Verdict::Due { .. }).then_some(run.now);
    }
    println!("load refused or taken at {flips:?} s, restarted after {restarts:?}");
    // Once, until the first of the three restarts is an hour ago.
    assert_eq!(flips.len(), 2, "{flips:?}");
    assert!(flips[0].0 && !flips[1].0);
    assert!((3560..3600).contains(&flips[1].1), "{flips:?}");
    assert!(
        restarts.is_some_and(|at| at < Duration::from_secs(3900)),
        "{restarts:?}"
    );
}

#[test]
fn decay_is_tightened_after_five_critical_seconds_and_put_back_after() {
    let mut run = Simulation::new(Policy::default());
    let mut decay = Vec::new();
    for step in 0..400 {
        let bytes = if step < 200 { 480.0 } else { 300.0 };
        let at = run.now;
        decay.extend(
            run.look(mib(bytes))
                .decay
                .map(|tight| (tight, at.as_secs())),
        );
    }
    assert_eq!(decay.len(), 2);
    assert_eq!(decay[0], (true, 5));
    assert!(!decay[1].0);
}

#[test]
fn the_interval_is_long_when_calm_short_near_a_line_and_between_when_one_comes_nearer() {
    let mut run = Simulation::new(Policy::default());
    let interval = |run: &mut Simulation, bytes: f64| run.look(mib(bytes)).interval;
    for _ in 0..5 {
        assert_eq!(interval(&mut run, 100.0), Duration::from_secs(1));
    }
    assert_eq!(interval(&mut run, 350.0), NEAR_INTERVAL);
    let mut run = Simulation::new(Policy::default());
    let mut intervals = Vec::new();
    for _ in 0..10 {
        let at = run.now.as_secs_f64();
        intervals.push(interval(&mut run, 100.0 + at * 100.0));
    }
    assert!(intervals[2] < Duration::from_secs(1) && intervals[2] > NEAR_INTERVAL);
}

#[test]
fn what_is_free_is_given_back_once_before_a_leak_reaches_the_line() {
    let mut run = Simulation::new(Policy::default());
    run.gives_back = 0;
    run.line_ahead = Some(Duration::from_secs(600));
    assert_eq!(run.look(mib(100.0)).actions, [false; 4]);
    run.line_ahead = Some(Duration::from_secs(50));
    let orders = run.look(mib(100.0));
    // Caches keep what they have.
    assert_eq!(orders.actions, [false, true, true, true]);
    assert!(orders.interval <= Duration::from_secs(1));
    assert_eq!(run.look(mib(100.0)).actions, [false; 4]);
    // Away from the line and back again, it is a new approach.
    run.line_ahead = None;
    run.look(mib(100.0));
    run.line_ahead = Some(Duration::from_secs(20));
    assert_eq!(run.look(mib(100.0)).actions, [false; 4]);
    run.line_ahead = None;
    run.now += Duration::from_secs(60);
    run.look(mib(100.0));
    run.line_ahead = Some(Duration::from_secs(20));
    assert_eq!(run.look(mib(100.0)).actions, [false, true, true, true]);
}

#[test]
fn a_leak_on_its_way_to_the_line_is_looked_at_more_often() {
    let mut run = Simulation::new(Policy::default());
    run.line_ahead = Some(Duration::from_secs(2));
    assert_eq!(run.look(mib(100.0)).interval, Duration::from_millis(500));
}
