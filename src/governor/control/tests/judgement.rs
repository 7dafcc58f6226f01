//! What a restart is judged by beside the last minute: the verdict on leaks, actions that hang, the edge.

use super::*;

/// A leak under noise that the last minute does not show, but hours do.
#[test]
fn the_verdict_on_leaks_tells_how_long_there_is_where_the_last_minute_does_not() {
    let noisy = |at: f64| {
        let mixed = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let noise = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        let level = 390.0 + (at - 200.0).max(0.0) / 20.0;
        mib(level + 16.0 * noise)
    };
    let due_at = |limit_ahead: Option<u64>| {
        let mut run = Simulation::new(policy());
        run.control.ready();
        run.warm_up();
        run.limit_ahead = limit_ahead.map(Duration::from_secs);
        while run.now < Duration::from_secs(900) {
            let at = run.now.as_secs_f64();
            if matches!(run.look(noisy(at)).restart, Verdict::Due { .. }) {
                return at;
            }
        }
        900.0
    };
    let [unknown, within, beyond] = [None, Some(3_000), Some(4_000)].map(due_at);
    assert_eq!(unknown, beyond);
    assert!(within < unknown - 60.0, "{within} and {unknown}");
}

/// A tooth of ten minutes that goes over the line and back by itself.
#[test]
fn what_surely_rises_and_falls_by_itself_is_not_restarted_before_the_limit_is_near() {
    let tooth = |at: f64| mib(300.0 + 135.0 * (at / 600.0).fract());
    let come = |policy, is_tidal| {
        let mut run = Simulation::new(policy);
        run.control.ready();
        run.warm_up();
        run.is_tidal = is_tidal;
        run.verdict(1_200, tooth).map(|(_, verdict)| verdict)
    };
    assert!(matches!(come(policy(), false), Some(Verdict::Due { .. })));
    assert_eq!(
        come(policy(), true),
        Some(Verdict::Withheld(Withheld::Tidal))
    );
    let at_the_line = Policy {
        horizon: Duration::MAX,
        ..policy()
    };
    assert!(matches!(come(at_the_line, true), Some(Verdict::Due { .. })));
    // Near the limit it is restarted like any other.
    let mut run = Simulation::new(policy());
    run.control.ready();
    run.warm_up();
    run.is_tidal = true;
    let mut due = None;
    while due.is_none() && run.now < Duration::from_secs(600) {
        let at = run.now.as_secs_f64();
        if let Verdict::Due { .. } = run.look(mib(300.0 + at)).restart {
            due = Some(at);
        }
    }
    assert!(due.is_some_and(|at| at < 212.0), "{due:?}");
}

/// A cache that hangs while it shrinks keeps no restart from being made.
#[test]
fn a_restart_waits_for_actions_that_hang_for_five_seconds_and_no_longer() {
    let mut run = Simulation::new(Policy {
        horizon: Duration::MAX,
        sustained: Duration::ZERO,
        ..policy()
    });
    run.control.ready();
    run.look(mib(20.0));
    run.busy_since = Some(run.now);
    let since = run.now;
    let (at, verdict) = run.verdict(60, |_| mib(420.0)).expect("a verdict");
    assert!(matches!(verdict, Verdict::Due { .. }), "{verdict:?}");
    let after = at - since.as_secs_f64();
    assert!((5.0..6.1).contains(&after), "after {after} s");
}

/// A start that comes as near as that is no longer waited for.
#[test]
fn from_97_percent_on_a_start_that_rises_is_not_waited_for() {
    let due_at = |to: f64| {
        let mut run = Simulation::new(Policy {
            levels: crate::Levels {
                critical: crate::governor::Threshold {
                    enter: 0.995,
                    leave: 0.99,
                },
                ..crate::Levels::default()
            },
            ..policy()
        });
        run.baseline_bytes = None;
        let rises = |at: f64| mib((300.0 + 8.0 * at).min(to * 512.0));
        let verdict = run.verdict(300, rises);
        verdict.filter(|(_, verdict)| matches!(verdict, Verdict::Due { .. }))
    };
    assert_eq!(due_at(0.96), None);
    let (at, _) = due_at(0.99).expect("a restart");
    let share = (300.0 + 8.0 * at) / 512.0;
    assert!((0.965..0.98).contains(&share), "at {share}");
}
