//! What the gauges of this process show.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_global_recorder,
};
use parking_lot::Mutex;

type Shown = Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>;

#[derive(Clone, Default)]
pub struct Gauges(Shown);

impl Gauges {
    /// Of all metrics from now on. Once in a process.
    pub fn install() -> Self {
        let gauges = Self::default();
        set_global_recorder(gauges.clone()).expect("the first recorder");
        gauges
    }

    pub fn value(&self, name: &str, peer: &str) -> Option<f64> {
        let bits = self.0.lock().get(&format!("{name} {peer}"))?.clone();
        Some(f64::from_bits(bits.load(Ordering::SeqCst)))
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let peer = key.labels().next().map_or("", |label| label.value());
        let shown = format!("{} {peer}", key.name());
        Gauge::from_arc(self.0.lock().entry(shown).or_default().clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
