//! When and how the program restarts; and changes to that, checked as a whole.

use super::event::{Restarted, how};
use super::faults::Faults;
use super::finite;
use crate::governor::{
    ConfigFault, Levels, Mode, Monitor, Policy, Restart, RestartOutlook, Threshold,
};
use crate::http::problem::FieldFault;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;
use utoipa::ToSchema;

/// Whether the program restarts, when, and what it did.
#[derive(Serialize, ToSchema)]
pub(crate) struct AutoRestart {
    mode: Mode,
    policy: PolicyAnswer,
    cooldown: Cooldown,
    budget: Budget,
    /// New work is refused.
    is_shedding: bool,
    /// A restart has begun and waits for what is under way.
    is_draining: bool,
    /// Why a restart that is due does not happen; null while none is due.
    #[schema(required)]
    withheld: Option<String>,
    /// Those that are remembered, from the oldest.
    restarts: Vec<Restarted>,
}

/// The least time between two restarts.
#[derive(Serialize, ToSchema)]
struct Cooldown {
    seconds: f64,
    /// 0 when it is over.
    remaining_seconds: f64,
}

/// Restarts in any hour.
#[derive(Serialize, ToSchema)]
struct Budget {
    per_hour: u32,
    /// In the last hour.
    used: u32,
    remaining: u32,
}

impl AutoRestart {
    pub(crate) fn of(monitor: &Monitor) -> AutoRestart {
        let RestartOutlook {
            policy,
            cooldown_remaining,
            used_in_last_hour: used,
            withheld,
        } = monitor.restart_outlook();
        AutoRestart {
            mode: monitor.mode(),
            policy: policy.into(),
            cooldown: Cooldown {
                seconds: policy.cooldown.as_secs_f64(),
                remaining_seconds: cooldown_remaining.as_secs_f64(),
            },
            budget: Budget {
                per_hour: policy.budget_per_hour,
                used,
                remaining: policy.budget_per_hour.saturating_sub(used),
            },
            is_shedding: monitor.is_shedding(),
            is_draining: monitor.is_draining(),
            withheld: withheld.map(|why| why.to_string()),
            restarts: monitor.restarts().iter().map(Restarted::from).collect(),
        }
    }
}

/// The policy. It holds until the program's next start.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolicyAnswer {
    /// `exec`, `abort`, `exit:` and a code from 0 to 255, or null for never.
    #[schema(required, example = "exec")]
    restart: Option<String>,
    levels: Levels,
    cooldown_seconds: f64,
    /// Restarts in any hour, 1 to 1000.
    budget_per_hour: u32,
    /// How long the figure has to stay above the line.
    sustained_seconds: f64,
    /// A limit that is further away is left to time; null restarts even if nothing grows.
    #[schema(required)]
    horizon_seconds: Option<f64>,
    /// How often a restart is judged; 0 at every look.
    check_interval_seconds: f64,
    /// How long requests that are under way are waited for, an hour at the most.
    drain_deadline_seconds: f64,
}

impl From<Policy> for PolicyAnswer {
    fn from(policy: Policy) -> PolicyAnswer {
        let horizon = Some(policy.horizon).filter(|&horizon| horizon < Duration::MAX);
        PolicyAnswer {
            restart: policy.how.map(how),
            levels: policy.levels,
            cooldown_seconds: policy.cooldown.as_secs_f64(),
            budget_per_hour: policy.budget_per_hour,
            sustained_seconds: policy.sustained.as_secs_f64(),
            horizon_seconds: horizon.map(|horizon| horizon.as_secs_f64()),
            check_interval_seconds: policy.check_interval.as_secs_f64(),
            drain_deadline_seconds: policy.drain_deadline.as_secs_f64(),
        }
    }
}

/// A change of the policy. What it does not name stays as it is.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "what a request may say: it is read field by field"
)]
pub(crate) struct PolicyChange {
    /// `exec`, `abort`, `exit:` and a code from 0 to 255, or null for never.
    #[schema(example = "exec")]
    restart: Option<String>,
    #[schema(required = false)]
    levels: LevelsChange,
    #[schema(required = false, minimum = 0)]
    cooldown_seconds: f64,
    /// Restarts in any hour.
    #[schema(required = false, minimum = 1, maximum = 1000)]
    budget_per_hour: u32,
    /// How long the figure has to stay above the line.
    #[schema(required = false, minimum = 0)]
    sustained_seconds: f64,
    /// A limit that is further away is left to time; null restarts even if nothing grows.
    #[schema(minimum = 0)]
    horizon_seconds: Option<f64>,
    /// How often a restart is judged; 0 at every look.
    #[schema(required = false, minimum = 0)]
    check_interval_seconds: f64,
    /// How long requests that are under way are waited for.
    #[schema(required = false, minimum = 0, maximum = 3600)]
    drain_deadline_seconds: f64,
}

/// Any of the levels.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct LevelsChange {
    #[schema(required = false)]
    optimise: ThresholdChange,
    #[schema(required = false)]
    restart: ThresholdChange,
    #[schema(required = false)]
    critical: ThresholdChange,
}

/// Either end of a level, as a share of the limit.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct ThresholdChange {
    #[schema(required = false, exclusive_minimum = 0, maximum = 1)]
    enter: f64,
    #[schema(required = false, exclusive_minimum = 0, maximum = 1)]
    leave: f64,
}

/// A restart that has begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct RestartBegun {
    /// `draining`.
    #[schema(example = "draining")]
    pub(crate) status: &'static str,
    /// How long it waits for what is under way, at the most.
    pub(crate) deadline_seconds: f64,
}

/// Those of a change of the policy.
const FIELDS: &str = "`restart`, `levels`, `cooldown_seconds`, `budget_per_hour`, `sustained_seconds`, \
                      `horizon_seconds`, `check_interval_seconds`, `drain_deadline_seconds`";

/// The policy after a change.
///
/// # Errors
///
/// Every field that is unknown, cannot be read, or makes no sense.
pub(crate) fn changed(mut policy: Policy, change: &Value) -> Result<Policy, Vec<FieldFault>> {
    let mut faults = Faults::default();
    for (field, value) in faults.fields("the policy", change, "an object of fields of the policy") {
        let at = (field.as_str(), value);
        match field.as_str() {
            "restart" => faults.set(&mut policy.how, at, restart(value), HOW),
            "levels" => faults.levels(&mut policy.levels, value),
            "cooldown_seconds" => faults.set(&mut policy.cooldown, at, seconds(value), SECONDS),
            "budget_per_hour" => {
                faults.set(&mut policy.budget_per_hour, at, whole(value), BUDGET);
            }
            "sustained_seconds" => faults.set(&mut policy.sustained, at, seconds(value), SECONDS),
            "horizon_seconds" => {
                let horizon = match value {
                    Value::Null => Some(Duration::MAX),
                    value => seconds(value),
                };
                faults.set(
                    &mut policy.horizon,
                    at,
                    horizon,
                    "seconds, 0 or more, or null",
                );
            }
            "check_interval_seconds" => {
                faults.set(&mut policy.check_interval, at, seconds(value), SECONDS);
            }
            "drain_deadline_seconds" => {
                faults.set(&mut policy.drain_deadline, at, seconds(value), SECONDS);
            }
            _ => faults.unknown(field, value, FIELDS),
        }
    }
    faults.0.extend(named(policy.faults()));
    faults.or(policy)
}

/// What the monitor has against a policy, by the fields' names here.
pub(crate) fn named(faults: Vec<ConfigFault>) -> Vec<FieldFault> {
    let named = |fault: ConfigFault| {
        let field = match fault.setting {
            "restart_budget" => "budget_per_hour".to_owned(),
            "drain" => "drain_deadline_seconds".to_owned(),
            // `levels.optimise` is `enter 0.9`.
            level => match fault.value.split_once(' ') {
                Some((part, _)) => format!("{level}.{part}"),
                None => level.to_owned(),
            },
        };
        let value = fault.value.rsplit(' ').next().unwrap_or_default();
        FieldFault {
            field,
            value: value.to_owned(),
            expected: Cow::Borrowed(fault.expected),
        }
    };
    faults.into_iter().map(named).collect()
}

const SECONDS: &str = "seconds, 0 or more";
const BUDGET: &str = "a whole number from 1 to 1000";
const RATIO: &str = "a ratio above 0 and at most 1";
const HOW: &str = "\"exec\", \"abort\", \"exit:\" and a code from 0 to 255, or null";

fn restart(value: &Value) -> Option<Option<Restart>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => match text.as_str() {
            "exec" => Some(Some(Restart::Exec)),
            "abort" => Some(Some(Restart::Abort)),
            text => {
                let code: u8 = text.strip_prefix("exit:")?.parse().ok()?;
                Some(Some(Restart::Exit(code.into())))
            }
        },
        _ => None,
    }
}

fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}

fn whole(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

impl Faults {
    fn levels(&mut self, levels: &mut Levels, value: &Value) {
        for (name, value) in self.fields("levels", value, "an object of levels") {
            let field = format!("levels.{name}");
            let line = match name.as_str() {
                "optimise" => &mut levels.optimise,
                "restart" => &mut levels.restart,
                "critical" => &mut levels.critical,
                _ => {
                    self.unknown(&field, value, "`optimise`, `restart`, `critical`");
                    continue;
                }
            };
            let Threshold { enter, leave } = line;
            for (name, value) in self.fields(&field, value, "an object with `enter` and `leave`") {
                let field = format!("{field}.{name}");
                let ratio = match name.as_str() {
                    "enter" => &mut *enter,
                    "leave" => &mut *leave,
                    _ => {
                        self.unknown(&field, value, "`enter` and `leave`");
                        continue;
                    }
                };
                match value.as_f64() {
                    Some(number) => *ratio = finite(number),
                    None => self.wrong(&field, value, RATIO),
                }
            }
        }
    }
}

/// Takes an arbitrary body as a change of the policy: what comes of it, which can be answered and sent
/// back, or its faults in words.
#[cfg(fuzzing)]
pub fn fuzz_parse(body: &[u8]) -> Result<Policy, Vec<String>> {
    let of = |body: &[u8]| {
        let change = serde_json::from_slice(body).unwrap_or_default();
        changed(Policy::default(), &change)
    };
    let policy = of(body)
        .map_err(|faults| -> Vec<String> { faults.iter().map(FieldFault::to_string).collect() })?;
    let answer = serde_json::to_vec(&PolicyAnswer::from(policy)).expect("every number is finite");
    assert_eq!(of(&answer).expect("just answered"), policy);
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_policy_holds_what_its_name_says() {
        let policy = Policy {
            how: Some(Restart::Exit(3)),
            cooldown: Duration::from_secs(1),
            budget_per_hour: 2,
            sustained: Duration::from_secs(4),
            horizon: Duration::from_secs(5),
            check_interval: Duration::from_secs(6),
            drain_deadline: Duration::from_secs(7),
            ..Policy::default()
        };
        let mut answer = serde_json::to_value(PolicyAnswer::from(policy)).unwrap();
        answer.as_object_mut().unwrap().remove("levels");
        let expected = serde_json::json!({
            "restart": "exit:3",
            "cooldown_seconds": 1.0,
            "budget_per_hour": 2,
            "sustained_seconds": 4.0,
            "horizon_seconds": 5.0,
            "check_interval_seconds": 6.0,
            "drain_deadline_seconds": 7.0,
        });
        assert_eq!(answer, expected);
    }
    use serde_json::json;

    fn faults(change: Value) -> Vec<(String, String)> {
        let faults = changed(Policy::default(), &change).unwrap_err();
        let said = |fault: FieldFault| (fault.field, fault.value);
        faults.into_iter().map(said).collect()
    }

    #[test]
    fn what_is_answered_can_be_sent_back() {
        let policy = Policy {
            how: Some(Restart::Exit(3)),
            horizon: Duration::MAX,
            sustained: Duration::from_millis(1_500),
            ..Policy::default()
        };
        let sent = serde_json::to_value(PolicyAnswer::from(policy)).unwrap();
        assert_eq!(changed(Policy::default(), &sent).unwrap(), policy);
    }

    #[test]
    fn what_a_change_does_not_name_stays() {
        let change = json!({ "levels": { "restart": { "enter": 0.82 } }, "restart": "abort" });
        let found = changed(Policy::default(), &change).unwrap();
        let mut expected = Policy {
            how: Some(Restart::Abort),
            ..Policy::default()
        };
        expected.levels.restart.enter = 0.82;
        assert_eq!(found, expected);
    }

    #[test]
    fn every_field_that_is_wrong_is_named_with_its_value() {
        let found = faults(json!({
            "restart": "exit:300",
            "cooldown": 5,
            "cooldown_seconds": -1,
            "sustained_seconds": 1e300,
            "budget_per_hour": 2.5,
            "levels": { "optimise": { "enter": "high", "at": 1 }, "top": {}, "critical": 0.9 },
        }));
        for expected in [
            ("restart", "\"exit:300\""),
            ("cooldown", "5"),
            ("cooldown_seconds", "-1"),
            ("sustained_seconds", "1e+300"),
            ("budget_per_hour", "2.5"),
            ("levels.optimise.enter", "\"high\""),
            ("levels.optimise.at", "1"),
            ("levels.top", "{}"),
            ("levels.critical", "0.9"),
        ] {
            let expected = (expected.0.to_owned(), expected.1.to_owned());
            assert!(found.contains(&expected), "{expected:?} of {found:?}");
        }
        assert_eq!(found.len(), 9);
        assert_eq!(faults(json!([1])).len(), 1);
    }

    #[test]
    fn what_the_monitor_has_against_it_is_told_by_the_fields_names() {
        let mut policy = Policy {
            how: Some(Restart::Exec),
            budget_per_hour: 0,
            drain_deadline: Duration::from_secs(5_000),
            ..Policy::default()
        };
        policy.levels.restart.enter = 1.5;
        let found = named(policy.faults());
        let fields: Vec<_> = found.iter().map(|fault| fault.field.as_str()).collect();
        let expected = [
            "drain_deadline_seconds",
            "budget_per_hour",
            "levels.restart.enter",
        ];
        assert_eq!(fields, expected);
        assert_eq!(found[2].value, "1.5");
    }
}
