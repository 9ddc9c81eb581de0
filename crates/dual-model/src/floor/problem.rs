//! What a floor is asked of, and what is refused.

use crate::DualError;

/// The most demonstrations.
pub const MOST_DEMOS: usize = 1024;

/// The largest size of an input.
pub const MOST_INPUTS: usize = 128;

/// The most demonstrations with negatives, whose choice needs all pairs of them.
pub const MOST_WITH_NEGATIVES: usize = 256;

/// Whether the query token is a key of its own softmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// It is, with the value zero: its label is masked.
    Inside,
    /// The softmax is over the demonstrations alone.
    Outside,
}

/// Negatives: the value of demonstration `i` becomes `v_i - (beta/m) sum_{j in N(i)} v_j`, where `N(i)` holds the `m`
/// others with the lowest score for demonstration `i` as a query, ties by index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Negatives {
    /// Their number, from 1 to `n_demos - 1`.
    pub m: usize,
    /// Their weight, from 0 to 16.
    pub beta: f64,
}

/// A family of weights on a distribution of prompts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Problem {
    /// `N`.
    pub n_demos: usize,
    /// Size of an input.
    pub d_t: usize,
    /// `a`: entries of inputs are uniform on `(-a, a)`.
    pub half_width: f64,
    /// One or two.
    pub heads: usize,
    /// Whether the query token is in the softmax.
    pub query: Query,
    /// The modification of values, if any.
    pub negatives: Option<Negatives>,
}

impl Default for Problem {
    /// The setting of the figures of one layer on the linear task.
    fn default() -> Self {
        Self {
            n_demos: 15,
            d_t: 11,
            half_width: 1.0,
            heads: 1,
            query: Query::Inside,
            negatives: None,
        }
    }
}

/// Which prompts, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sampling {
    /// Queries, rounded up to a multiple of 512; without a number as many as make every standard error at most
    /// 0.045 % of its loss, from 2^17 to 2^22, or 2^24 for prompts of at most 64 numbers.
    pub prompts: Option<u64>,
    /// Of all random numbers.
    pub seed: u64,
}

impl Problem {
    /// Refuses what is out of range.
    pub(super) fn check(&self) -> Result<(), DualError> {
        let most = if self.negatives.is_some() { MOST_WITH_NEGATIVES } else { MOST_DEMOS };
        let expected = if self.negatives.is_some() {
            "1 to 256 demonstrations (with negatives); lower it"
        } else {
            "1 to 1024 demonstrations; the floor hardly moves beyond"
        };
        within("n", self.n_demos, 1..=most, expected)?;
        within("d-t", self.d_t, 1..=MOST_INPUTS, "an input of size 1 to 128")?;
        within("heads", self.heads, 1..=2, "1 or 2")?;
        finite("half-width", self.half_width)?;
        if !(1e-3..=1e3).contains(&self.half_width) {
            let expected = "a number from 0.001 to 1000; state inputs in other units";
            return Err(refused("half-width", &self.half_width, expected));
        }
        let Some(Negatives { m, beta }) = self.negatives else { return Ok(()) };
        if m < 1 || m >= self.n_demos {
            let expected = "from 1 to one less than the demonstrations; lower m or raise n";
            return Err(refused("negative m", &m, expected));
        }
        finite("negative beta", beta)?;
        if !(0.0..=16.0).contains(&beta) {
            return Err(refused("negative beta", &beta, "a number from 0 to 16"));
        }
        Ok(())
    }
}

impl Sampling {
    /// Refuses what is out of range.
    pub(super) fn check(self) -> Result<(), DualError> {
        match self.prompts {
            Some(prompts) if !(1024..=1 << 30).contains(&prompts) => Err(refused(
                "prompts",
                &prompts,
                "1024 to 1073741824, or none for as many as the error needs",
            )),
            _ => Ok(()),
        }
    }
}

/// A number, if it is finite.
pub(super) fn finite(name: &'static str, x: f64) -> Result<f64, DualError> {
    if x.is_finite() { Ok(x) } else { Err(refused(name, &x, "a finite number")) }
}

fn within(
    name: &'static str,
    found: usize,
    range: std::ops::RangeInclusive<usize>,
    expected: &'static str,
) -> Result<(), DualError> {
    if range.contains(&found) { Ok(()) } else { Err(refused(name, &found, expected)) }
}

fn refused(name: &'static str, found: &dyn ToString, expected: &'static str) -> DualError {
    DualError::Parameter { name, found: found.to_string(), expected }
}
