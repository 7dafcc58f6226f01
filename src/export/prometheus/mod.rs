//! All figures as metrics of OpenMetrics, with alert rules and a Grafana dashboard beside them.
//!
//! With the feature `http` the admin surface answers them at `GET /metrics`. Without it, or in a
//! registry of the application's own:
//!
//! ```
//! # fn register(monitor: std::sync::Arc<plimsoll::Monitor>) -> String {
//! use plimsoll::export::prometheus::Exporter;
//! use prometheus_client::registry::Registry;
//!
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(Exporter::new(monitor)));
//! # let mut text = String::new();
//! # prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
//! # text
//! # }
//! ```
//!
//! Names follow Prometheus' guide (base units; `_total`, `_bytes`, `_seconds`, `_ratio`) and
//! OpenTelemetry's advice that a runtime has a namespace of its own. What is not known is left out,
//! and never 0.
//!
//! In the crate's sources, in `src/export/prometheus`:
//!
//! | file | what |
//! |---|---|
//! | `alerts.yml` | rules for Prometheus: what to record, and alerts, tried by `promtool` in `tests/prometheus` |
//! | `grafana.json` | a dashboard for Grafana |

// | file | its one idea |
// |---|---|
// | `family` | one metric and its samples |
// | `memory` | what is held: heap, allocator, process, parts, limit |
// | `governing` | levels, verdict, actions, restarts |
// | `requests` | requests by route |

mod family;
mod governing;
mod memory;
#[cfg(feature = "http")]
mod requests;

use self::family::Families;
use crate::governor::{CacheStatus, Monitor};
#[cfg(feature = "http")]
use crate::http::RequestLayer;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// The media type of what [`Exporter::scrape`] answers.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The figures of a monitor as metrics, read anew at every scrape.
///
/// A scrape renews jemalloc's statistics, reads a file of `/proc` and asks the caches what they hold:
/// some 200 µs, and it allocates.
///
/// `process_resident_memory_bytes` is Prometheus' own name: in a registry with a collector of the
/// process's figures it would be there twice.
#[derive(Clone)]
pub struct Exporter {
    monitor: Arc<Monitor>,
    /// What the caches said; asked at every scrape where nobody has asked them already.
    caches: Option<Vec<CacheStatus>>,
    #[cfg(feature = "http")]
    requests: Option<RequestLayer>,
}

impl Exporter {
    /// The figures of this monitor.
    pub fn new(monitor: impl Into<Arc<Monitor>>) -> Exporter {
        Exporter {
            monitor: monitor.into(),
            caches: None,
            #[cfg(feature = "http")]
            requests: None,
        }
    }

    /// And what this layer measures.
    #[cfg(feature = "http")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    #[must_use]
    pub fn requests(mut self, layer: &RequestLayer) -> Exporter {
        self.requests = Some(layer.clone());
        self
    }

    /// What the caches said to somebody who has asked them.
    #[cfg(feature = "http")]
    pub(crate) fn with_caches(mut self, caches: Vec<CacheStatus>) -> Exporter {
        self.caches = Some(caches);
        self
    }

    /// All metrics in OpenMetrics' text format, of media type [`CONTENT_TYPE`].
    pub fn scrape(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::with_capacity(16 * 1024);
        if let Err(error) = text::encode(&mut text, &registry) {
            // A string takes whatever is written to it.
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }
}

impl Collector for Exporter {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        match &self.caches {
            Some(caches) => memory::encode(&mut families, &self.monitor, caches)?,
            None => memory::encode(&mut families, &self.monitor, &self.monitor.caches())?,
        }
        governing::encode(&mut families, &self.monitor)?;
        #[cfg(feature = "http")]
        if let Some(layer) = &self.requests {
            requests::encode(&mut families, layer)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}
