//! One metric and its samples: name, help, unit, and a value for each set of labels.

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;

/// Where metrics are written to, one after the other.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

/// What a metric counts in; its name ends in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum In {
    Bytes,
    Seconds,
    Ratio,
    Number,
}

impl In {
    fn unit(self) -> Option<Unit> {
        match self {
            In::Bytes => Some(Unit::Bytes),
            In::Seconds => Some(Unit::Seconds),
            // As Prometheus' guide has it; the library's own is a plural.
            In::Ratio => Some(Unit::Other("ratio".to_owned())),
            In::Number => None,
        }
    }
}

/// Names and values of the labels of one sample.
pub(super) type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

impl<'a> Families<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Families<'a> {
        Families(encoder)
    }

    /// What goes up and down.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: In,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Gauge, |encoder| {
            encoder.encode_gauge(&value)
        })
    }

    /// The same without a sample while it is not known.
    pub(super) fn gauge_if_known(
        &mut self,
        name: &str,
        help: &str,
        unit: In,
        value: Option<impl EncodeGaugeValue>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Gauge, |encoder| {
            value.map_or(Ok(()), |value| encoder.encode_gauge(&value))
        })
    }

    /// One of them for each set of labels.
    pub(super) fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: In,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Gauge, |encoder| {
            samples.into_iter().try_for_each(|(labels, value)| {
                encoder.encode_family(&labels)?.encode_gauge(&value)
            })
        })
    }

    /// What only grows.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: In,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Counter, |encoder| {
            encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    /// One of them for each set of labels.
    pub(super) fn counters<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: In,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Counter, |encoder| {
            samples.into_iter().try_for_each(|(labels, value)| {
                let mut encoder = encoder.encode_family(&labels)?;
                encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)
            })
        })
    }

    /// A distribution for each set of labels: sum, count, and how many took at most each bound.
    #[cfg(feature = "http")]
    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: In,
        samples: impl IntoIterator<Item = (Labels<'l, N>, (f64, u64, Vec<(f64, u64)>))>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Histogram, |encoder| {
            for (labels, (sum, count, buckets)) in samples {
                let mut encoder = encoder.encode_family(&labels)?;
                encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
            Ok(())
        })
    }

    /// What is told and not counted.
    pub(super) fn info<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_, N>,
    ) -> fmt::Result {
        self.family(name, help, In::Number, MetricType::Info, |encoder| {
            encoder.encode_info(&labels)
        })
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        unit: In,
        kind: MetricType,
        samples: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let unit = unit.unit();
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        samples(&mut encoder)
    }
}

/// What a part of the metrics comes to in OpenMetrics' text format.
#[cfg(test)]
pub(super) fn written(
    encode: impl Fn(&mut Families<'_>) -> fmt::Result + Send + Sync + 'static,
) -> String {
    use prometheus_client::{collector::Collector, encoding::text, registry::Registry};

    struct Part<F>(F);

    impl<F> fmt::Debug for Part<F> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Part")
        }
    }

    impl<F> Collector for Part<F>
    where
        F: Fn(&mut Families<'_>) -> fmt::Result + Send + Sync + 'static,
    {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            (self.0)(&mut Families::new(encoder))
        }
    }

    let mut registry = Registry::default();
    registry.register_collector(Box::new(Part(encode)));
    let mut text = String::new();
    text::encode(&mut text, &registry).unwrap();
    text
}
