//! A snapshot as OpenMetrics text, version 1.0.

use std::fmt::{self, Write};

use super::{MetricFamily, MetricSample, MetricValue, MetricsSnapshot};

impl MetricsSnapshot {
    /// Writes all [families](Self::families) in the text format of OpenMetrics 1.0, to its end mark `# EOF`. A program
    /// with families of its own writes those first, without the mark, and then calls this.
    ///
    /// The content type of an answer to a scrape is `application/openmetrics-text; version=1.0.0; charset=utf-8`. A
    /// snapshot for each scrape costs what [`snapshot`](crate::MetricsRegistry::snapshot) costs. The text of five flows
    /// has some 30 kB. While messages flow it may be torn, but no counter ever falls.
    ///
    /// # Errors
    ///
    /// Those of the writer; a `String` has none.
    ///
    /// ```
    /// use gossip_engine::MetricsRegistry;
    ///
    /// let registry = MetricsRegistry::new();
    /// // … handlers are built with it and messages flow …
    /// let mut page = String::new();
    /// registry.snapshot().to_openmetrics(&mut page)?;
    /// assert!(page.contains("# TYPE gossip_engine_messages counter\n"));
    /// assert!(page.contains(r#"gossip_engine_messages_total{flow="Broadcast",outcome="expired"} 0"#));
    /// assert!(page.ends_with("# EOF\n"));
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    pub fn to_openmetrics(&self, to: &mut impl Write) -> fmt::Result {
        for family in self.families() {
            write_family(to, &family)?;
        }
        to.write_str("# EOF\n")
    }
}

fn write_family(to: &mut impl Write, family: &MetricFamily) -> fmt::Result {
    let MetricFamily { name, help, unit, samples } = family;
    let kind = match samples.first().map(|sample| &sample.value) {
        Some(MetricValue::Counter(_)) => "counter",
        Some(MetricValue::Histogram { .. }) => "histogram",
        Some(MetricValue::Gauge(_)) | None => "gauge",
    };
    // A counter's family is called without the ending of its samples.
    let called = name.strip_suffix("_total").unwrap_or(name);
    writeln!(to, "# HELP {called} {}", Escaped(help))?;
    writeln!(to, "# TYPE {called} {kind}")?;
    if let Some(unit) = unit {
        writeln!(to, "# UNIT {called} {unit}")?;
    }
    samples.iter().try_for_each(|sample| write_sample(to, name, sample))
}

fn write_sample(to: &mut impl Write, name: &str, sample: &MetricSample) -> fmt::Result {
    let MetricSample { labels, value } = sample;
    let none = [].as_slice();
    match value {
        MetricValue::Counter(count) => writeln!(to, "{name}{} {count}", Braced(labels, none)),
        MetricValue::Gauge(value) => writeln!(to, "{name}{} {value}", Braced(labels, none)),
        MetricValue::Histogram { buckets, sum } => {
            for (bound, count) in buckets {
                let bound = bound_label(*bound);
                writeln!(to, "{name}_bucket{} {count}", Braced(labels, &[("le", &bound)]))?;
            }
            let count = buckets.last().map_or(0, |(_, count)| *count);
            writeln!(to, "{name}_sum{} {sum}", Braced(labels, none))?;
            writeln!(to, "{name}_count{} {count}", Braced(labels, none))
        }
    }
}

/// The value of a bucket's label `le`: with a point, as the format wants bounds.
pub(crate) fn bound_label(bound: f64) -> String {
    if bound.is_finite() { format!("{bound:?}") } else { "+Inf".to_owned() }
}

/// Labels and one more in braces, or nothing.
struct Braced<'a>(&'a [(&'static str, &'static str)], &'a [(&'a str, &'a str)]);

impl fmt::Display for Braced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = '{';
        for (name, value) in self.0.iter().chain(self.1) {
            write!(f, "{before}{name}=\"{}\"", Escaped(value))?;
            before = ',';
        }
        if before == ',' { f.write_char('}') } else { Ok(()) }
    }
}

/// A label's value or a help text, on one line.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What needs no escape goes as a whole, which is nearly all.
        for part in self.0.split_inclusive(['\\', '"', '\n']) {
            let (plain, escape) = match part.as_bytes().last() {
                Some(b'\\') => (&part[..part.len() - 1], "\\\\"),
                Some(b'"') => (&part[..part.len() - 1], "\\\""),
                Some(b'\n') => (&part[..part.len() - 1], "\\n"),
                _ => (part, ""),
            };
            f.write_str(plain)?;
            f.write_str(escape)?;
        }
        Ok(())
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
