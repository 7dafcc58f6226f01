//! A drill: what is asked for, and what has begun.

use super::faults::Faults;
use crate::http::problem::FieldFault;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What a drill is to be like. What is not named is as here.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "what a request may say: it is read field by field"
)]
pub(crate) struct DrillAsked {
    /// The share of the limit that is pretended to be used.
    #[schema(required = false, default = 0.85, minimum = 0, maximum = 2)]
    pressure: f64,
    #[schema(required = false, default = 10, exclusive_minimum = 0, maximum = 3600)]
    seconds: f64,
    /// Whether the restart happens too, within cooldown and budget.
    #[schema(required = false, default = false)]
    restart: bool,
}

/// A drill that has begun.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct DrillBegun {
    /// The share of the limit that is pretended to be used.
    pub(crate) pressure: f64,
    pub(crate) seconds: f64,
    /// Whether the restart happens too, within cooldown and budget.
    pub(crate) restart: bool,
}

const FIELDS: &str = "`pressure`, `seconds`, `restart`";
const PRESSURE: &str = "a ratio from 0 to 2";
const SECONDS: &str = "seconds above 0 and at most 3600";

/// The drill that is asked for.
///
/// # Errors
///
/// Every field that is unknown or out of its range.
pub(crate) fn asked(sent: &Value) -> Result<DrillBegun, Vec<FieldFault>> {
    let mut drill = DrillBegun {
        pressure: 0.85,
        seconds: 10.0,
        restart: false,
    };
    let mut faults = Faults::default();
    for (field, value) in faults.fields("the drill", sent, "an object of fields of the drill") {
        let at = (field.as_str(), value);
        let number = value.as_f64();
        match field.as_str() {
            "pressure" => {
                let ratio = number.filter(|number| (0.0..=2.0).contains(number));
                faults.set(&mut drill.pressure, at, ratio, PRESSURE);
            }
            "seconds" => {
                let seconds = number.filter(|&number| number > 0.0 && number <= 3600.0);
                faults.set(&mut drill.seconds, at, seconds, SECONDS);
            }
            "restart" => faults.set(&mut drill.restart, at, value.as_bool(), "true or false"),
            _ => faults.unknown(field, value, FIELDS),
        }
    }
    faults.or(drill)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_named_is_as_documented_and_ends_of_ranges_are_within() {
        let of = |pressure, seconds, restart| DrillBegun {
            pressure,
            seconds,
            restart,
        };
        assert_eq!(asked(&json!({})).unwrap(), of(0.85, 10.0, false));
        let all = json!({ "pressure": 2, "seconds": 3600, "restart": true });
        assert_eq!(asked(&all).unwrap(), of(2.0, 3600.0, true));
    }

    #[test]
    fn every_field_that_is_wrong_is_named_and_no_value_is_told_at_length() {
        let long = "x".repeat(10_000);
        let sent = json!({ "pressure": 2.1, "seconds": 0, "restart": long, "at": null });
        let faults = asked(&sent).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["at", "pressure", "restart", "seconds"]);
        assert!(faults.iter().all(|fault| fault.value.len() < 100));
        assert_eq!(asked(&json!(7)).unwrap_err().len(), 1);
    }
}
