//! Statistics of a series of rounds: medians, values computed from medians, and their confidence.

use serde::Serialize;

/// An estimated number, with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// The number of bootstrap draws: more would move the ends of an interval by less than the printed precision.
const DRAWS: usize = 2_000;

/// The median of a series, and the medians of its bootstrap draws. Values from several series are computed draw by
/// draw: a round that was slow for all is drawn for all.
#[derive(Debug, Clone)]
pub struct Series {
    median: f64,
    drawn: Vec<f64>,
}

impl Series {
    /// A series has one number for each round. Rounds are drawn with replacement (percentile bootstrap; Efron and
    /// Tibshirani, "An Introduction to the Bootstrap", chapter 13); series of the same length use the same draws.
    /// `None` for an empty one.
    pub fn of(rounds: &[f64]) -> Option<Self> {
        if rounds.is_empty() {
            return None;
        }
        // A fixed seed: equal rounds give equal intervals.
        let mut random = fastrand::Rng::with_seed(1);
        let mut draw = vec![0.0; rounds.len()];
        let drawn = std::iter::repeat_with(|| {
            draw.fill_with(|| rounds[random.usize(..rounds.len())]);
            median(&mut draw)
        });
        Some(Self { drawn: drawn.take(DRAWS).collect(), median: median(&mut rounds.to_vec()) })
    }

    /// A value computed from this one and another one.
    #[must_use]
    pub fn with(&self, other: &Self, compute: fn(f64, f64) -> f64) -> Self {
        let pairs = self.drawn.iter().zip(&other.drawn);
        Self {
            median: compute(self.median, other.median),
            drawn: pairs.map(|(one, other)| compute(*one, *other)).collect(),
        }
    }

    /// The number, and the interval that contains 95 % of the draws.
    pub fn estimate(&self) -> Estimate {
        let mut sorted = self.drawn.clone();
        sorted.sort_by(f64::total_cmp);
        let quantile = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
        Estimate { value: self.median, low: quantile(0.025), high: quantile(0.975) }
    }
}

/// The middle of a sample, or the mean of the two in the middle.
///
/// # Panics
/// If the sample is empty.
pub fn median(sample: &mut [f64]) -> f64 {
    sample.sort_by(f64::total_cmp);
    let middle = sample.len() / 2;
    if sample.len() % 2 == 1 { sample[middle] } else { f64::midpoint(sample[middle - 1], sample[middle]) }
}

#[cfg(test)]
mod tests {
    use super::{Estimate, Series};

    fn estimate(rounds: &[f64]) -> Estimate {
        Series::of(rounds).expect("a sample").estimate()
    }

    #[test]
    fn the_median_of_an_odd_and_an_even_sample() {
        assert_eq!(estimate(&[3.0, 1.0, 2.0]).value, 2.0);
        assert_eq!(estimate(&[4.0, 1.0, 2.0, 3.0]).value, 2.5);
        assert!(Series::of(&[]).is_none());
    }

    #[test]
    fn a_constant_sample_is_certain() {
        assert_eq!(estimate(&[7.0; 9]), Estimate { value: 7.0, low: 7.0, high: 7.0 });
    }

    /// For eleven numbers, the median of a draw is the second or less with a probability of 0.008, by the binomial
    /// distribution, and the third or less with 0.052; the same from above. So the ends of 95 % are the third from
    /// below and from above.
    #[test]
    fn a_known_sample_has_its_known_interval() {
        let sample: Vec<f64> = (1..=11).map(f64::from).collect();
        assert_eq!(estimate(&sample), Estimate { value: 6.0, low: 3.0, high: 9.0 });
    }

    #[test]
    fn one_round_in_trouble_does_not_move_it() {
        let found = estimate(&[5.0, 5.1, 4.9, 5.0, 5.2, 4.8, 5.0, 5.1, 4.9, 5.0, 500.0]);
        assert!(found.value == 5.0 && found.low >= 4.8 && found.high <= 5.2, "{found:?}");
    }

    /// Slow rounds are slow for both: the difference is as certain as in each of them.
    #[test]
    fn what_drifts_for_both_does_not_blur_their_difference() {
        let drift: Vec<f64> = (0..20).map(f64::from).collect();
        let slower: Vec<f64> = drift.iter().map(|each| each + 3.0).collect();
        let (one, other) = (Series::of(&slower).expect("a sample"), Series::of(&drift).expect("a sample"));
        assert_eq!(one.with(&other, |one, other| one - other).estimate(), Estimate { value: 3.0, low: 3.0, high: 3.0 });
    }
}
