//! What Prometheus answers to a range query, `/api/v1/query_range`:
//!
//! ```json
//! {"status": "success", "data": {"resultType": "matrix", "result": [
//!     {"metric": {"job": "shop"}, "values": [[1700000000.0, "268435456"]]}]}}
//! ```

use super::error::{Place, ReadError};
use super::{Kind, Rows};
use crate::trend::Sample;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(serde_json::Number, String)>,
}

impl Series {
    /// As Prometheus writes it: `process_resident_memory_bytes{job="shop"}`.
    fn name(&self) -> String {
        let name = self.metric.get("__name__").map_or("", String::as_str);
        let labels: Vec<String> = self
            .metric
            .iter()
            .filter(|(label, _)| *label != "__name__")
            .map(|(label, value)| format!("{}={value:?}", label.escape_debug()))
            .collect();
        format!("{}{{{}}}", name.escape_debug(), labels.join(","))
    }
}

pub(super) fn read(text: &str) -> Result<(Rows, Kind), ReadError> {
    let answer: Answer = serde_json::from_str(text).map_err(|error| ReadError::Json {
        found: error.to_string(),
    })?;
    if let Some(error) = answer.error {
        return Err(ReadError::Refused { found: error });
    }
    let Some(data) = answer.data else {
        return Err(ReadError::Json {
            found: "found no `data`".to_owned(),
        });
    };
    if data.kind != "matrix" {
        return Err(ReadError::NotMatrix { found: data.kind });
    }
    let [series] = &data.result[..] else {
        return Err(ReadError::NotOneSeries {
            count: data.result.len(),
            found: data.result.iter().map(Series::name).collect(),
        });
    };
    let mut rows = Rows::default();
    for (index, (time, value)) in series.values.iter().enumerate() {
        let place = |part| Place::Value {
            number: index + 1,
            part,
        };
        let seconds = rows.time(&time.to_string(), place("time"))?;
        rows.push(Sample {
            seconds,
            bytes: Kind::Value.figure(value, place("value"))?,
            blocks: None,
        });
    }
    Ok((rows, Kind::Value))
}
