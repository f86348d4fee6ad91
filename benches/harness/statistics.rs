//! Medians and quartiles, by linear interpolation between the two nearest ranks.

use serde_json::{Value, json};

/// The middle half of what was observed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Quartiles {
    /// # Panics
    ///
    /// If there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            below + (above - below) * rank.fract()
        };
        Self { lower: at(0.25), median: at(0.5), upper: at(0.75) }
    }

    /// The quartiles of the ratios, round by round.
    pub(crate) fn of_ratio(values: &[f64], to: &[f64]) -> Self {
        assert_eq!(values.len(), to.len(), "both ran in every round");
        Self::of(values.iter().zip(to).map(|(value, to)| value / to))
    }

    pub(crate) fn json(self) -> Value {
        json!({ "lower": rounded(self.lower), "median": rounded(self.median), "upper": rounded(self.upper) })
    }
}

/// Four significant digits: more than any of this is good for.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
