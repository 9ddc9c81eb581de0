//! One dual for all queries, and its streaming forms.
//!
//! The dual of [`dual`](crate::dual) divides by `D(q)`, so its coefficients belong to one query. Append a constant channel
//! to every value, `[v_i; 1]`: then `W = sum_i [v_i; 1] phi(k_i)^T` belongs to no query, and
//!
//! ```text
//! W phi(q) = [sum_i K(k_i, q) v_i; D(q)],      h'(q) = first part / last entry
//! ```
//!
//! Trained step by step over a sequence, the state after `i` steps answers query `i` under the causal
//! mask: exactly with coefficients ([`SharedDual`], cost `T` per query), with features in a state whose
//! size does not grow ([`SharedFeatureDual`], cost constant per query).
//!
//! ```
//! use dual_model::{dual::KeyValue, shared::SharedDual};
//!
//! let mut dual = SharedDual::new(2, 1);
//! dual.step(KeyValue { key: &[0.0, 0.0], value: &[1.0] })?;
//! dual.step(KeyValue { key: &[1.0, 2.0], value: &[3.0] })?;
//! // the same coefficients for every query: logits 0 and 0, then 0 and ln 3
//! assert_eq!(dual.coefficients(), [1.0, 1.0, 3.0, 1.0]);
//! assert_eq!(dual.predict(&[2.0, -1.0])?, [2.0]);
//! assert!((dual.predict(&[3.0_f64.ln(), 0.0])?[0] - 2.5).abs() < 1e-15);
//! # Ok::<(), dual_model::DualError>(())
//! ```
//!
//! Numerics: the exact form shifts by the largest logit of the query, which cancels in the ratio. Theory:
//! `docs/theory.md`, section 3.

use crate::dual::KeyValue;
use crate::sequence::Visibility;
use crate::{DualError, Matrix, Real};
use icl_numerics::lanes::{Isa, Kernel, Lanes};

pub use crate::shared_feature::SharedFeatureDual;

/// Keys, or columns of an output, whose sums are formed together in the registers.
pub(crate) const BLOCK: usize = 32;

/// The query-independent exact dual: keys, and coefficients `[v_i; 1]`, one row each.
#[derive(Debug, Clone)]
pub struct SharedDual<R = f64> {
    d_k: usize,
    d_v: usize,
    /// Blocks of 32 keys, `[blocks, d_k, 32]`, the last one padded with zeros.
    keys: Vec<R>,
    coefficients: Vec<R>,
    isa: Isa,
}

impl<R: Real> SharedDual<R> {
    /// Before any step, on the portable instruction set.
    pub fn new(d_k: usize, d_v: usize) -> Self {
        Self { d_k, d_v, keys: Vec::new(), coefficients: Vec::new(), isa: Isa::Portable }
    }

    /// The same on another instruction set; it changes no bit.
    #[must_use]
    pub fn on(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// One gradient step: `W <- W + [v; 1] phi(k)^T`.
    ///
    /// # Errors
    /// [`DualError::Size`] if key or value has another size.
    pub fn step(&mut self, pair: KeyValue<'_, R>) -> Result<(), DualError> {
        DualError::size("key", pair.key.len(), self.d_k)?;
        DualError::size("value", pair.value.len(), self.d_v)?;
        let j = self.len();
        if j.is_multiple_of(BLOCK) {
            self.keys.resize(self.keys.len() + BLOCK * self.d_k, R::ZERO);
        }
        let block = j / BLOCK * BLOCK * self.d_k;
        for (i, x) in pair.key.iter().enumerate() {
            self.keys[block + i * BLOCK + j % BLOCK] = *x;
        }
        self.coefficients.extend_from_slice(pair.value);
        self.coefficients.push(R::ONE);
        Ok(())
    }

    /// Steps taken.
    pub fn len(&self) -> usize {
        self.coefficients.len() / (self.d_v + 1)
    }

    /// Whether no step has been taken.
    pub fn is_empty(&self) -> bool {
        self.coefficients.is_empty()
    }

    /// All coefficients, `[steps, d_v + 1]`; they depend on no query.
    pub fn coefficients(&self) -> &[R] {
        &self.coefficients
    }

    /// Bytes of keys and coefficients; they grow with the number of steps.
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(self.keys.as_slice())
            + std::mem::size_of_val(self.coefficients.as_slice())
    }

    /// `h'(q)` from the steps taken so far.
    ///
    /// # Errors
    /// [`DualError`] if the query has another size or no step has been taken.
    pub fn predict(&self, query: &[R]) -> Result<Vec<R>, DualError> {
        DualError::size("query", query.len(), self.d_k)?;
        if self.is_empty() {
            return Err(DualError::NothingVisible { query: 0 });
        }
        let mut out = vec![R::ZERO; self.d_v];
        let queries = std::iter::once((query, self.len()));
        self.isa.run(Predict { dual: self, queries, out: &mut out });
        Ok(out)
    }

    /// `h'` of every query, `[queries, d_v]`; query `i` sees the steps that `visibility` allows, which
    /// are always the first so many.
    ///
    /// # Errors
    /// [`DualError`] if sizes differ or a query sees nothing.
    pub fn predict_all(
        &self,
        queries: &Matrix<R>,
        visibility: Visibility,
    ) -> Result<Matrix<R>, DualError> {
        DualError::size("query", queries.columns(), self.d_k)?;
        let seen = |i: usize| visibility.end(i, self.len());
        if let Some(query) = (0..queries.rows()).find(|i| seen(*i) == 0) {
            return Err(DualError::NothingVisible { query });
        }
        let mut out = vec![R::ZERO; queries.rows() * self.d_v];
        let visible = (0..queries.rows()).map(|i| (queries.row(i), seen(i)));
        self.isa.run(Predict { dual: self, queries: visible, out: &mut out });
        Matrix::new(queries.rows(), self.d_v, out)
    }

    /// `h'` of the queries `[queries, d_k]`, row by row, into `out` `[queries, d_v]`; query `i` sees the
    /// first `seen[i]` steps. A query that sees none gets zeros: it has no attention.
    ///
    /// # Errors
    /// [`DualError::Size`] if sizes differ or a query would see more steps than were taken.
    pub fn predict_seen(
        &self,
        queries: &[R],
        seen: &[usize],
        out: &mut [R],
    ) -> Result<(), DualError> {
        DualError::size("queries", queries.len(), seen.len() * self.d_k)?;
        DualError::size("outputs", out.len(), seen.len() * self.d_v)?;
        if let Some(found) = seen.iter().find(|seen| **seen > self.len()) {
            return Err(DualError::Size { op: "steps seen", found: *found, expected: self.len() });
        }
        let visible = queries.chunks_exact(self.d_k).zip(seen.iter().copied());
        self.isa.run(Predict { dual: self, queries: visible, out });
        Ok(())
    }
}

/// Predictions of several queries. Plain loops, compiled for the instruction set at hand: products and
/// sums stay separate and in a fixed order, so the bits are the same everywhere.
struct Predict<'a, R, Q> {
    dual: &'a SharedDual<R>,
    queries: Q,
    out: &'a mut [R],
}

impl<'q, R: Real, Q: Iterator<Item = (&'q [R], usize)>> Kernel for Predict<'_, R, Q> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let SharedDual { d_v, keys, coefficients, .. } = self.dual;
        let mut weights = vec![R::ZERO; self.dual.len()];
        let mut start = 0;
        for (query, seen) in self.queries {
            let out = &mut self.out[start..start + d_v];
            start += d_v;
            let weights = &mut weights[..seen];
            let Some(mut shift) = products(keys, query, weights) else {
                out.fill(R::ZERO);
                continue;
            };
            for weight in weights.iter() {
                shift = if *weight > shift { *weight } else { shift };
            }
            for weight in weights.iter_mut() {
                let exponent = *weight - shift;
                // not a number stays what it is, so that no fault of a logit is lost
                *weight = if exponent <= R::ZERO { exponent.exp_of_negative() } else { exponent };
            }
            let normaliser = combine(weights, &coefficients[..seen * (d_v + 1)], out);
            for out in out {
                *out = *out / normaliser;
            }
        }
    }
}

/// `k_j . q` for every key, in the order of the dimensions; keys of a block side by side. Returns the first.
#[inline(always)]
pub(crate) fn products<R: Real>(keys: &[R], query: &[R], logits: &mut [R]) -> Option<R> {
    let blocks = keys.chunks_exact(BLOCK * query.len());
    for (logits, block) in logits.chunks_mut(BLOCK).zip(blocks) {
        let mut sums = [R::ZERO; BLOCK];
        for (column, q) in block.as_chunks::<BLOCK>().0.iter().zip(query) {
            for (sum, k) in sums.iter_mut().zip(column) {
                *sum += *k * *q;
            }
        }
        for (logit, sum) in logits.iter_mut().zip(sums) {
            *logit = sum;
        }
    }
    logits.first().copied()
}

/// `out = sum_j w_j v_j` in the order of `j`, a block of columns at a time; returns the sum of the weights
/// times the constant channel.
#[inline(always)]
fn combine<R: Real>(weights: &[R], coefficients: &[R], out: &mut [R]) -> R {
    let width = out.len() + 1;
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    for (b, out) in blocks.iter_mut().enumerate() {
        let mut sums = [R::ZERO; BLOCK];
        for (weight, row) in weights.iter().zip(coefficients.chunks_exact(width)) {
            for (sum, v) in sums.iter_mut().zip(&row[b * BLOCK..(b + 1) * BLOCK]) {
                *sum += *weight * *v;
            }
        }
        *out = sums;
    }
    let mut normaliser = R::ZERO;
    for (weight, row) in weights.iter().zip(coefficients.chunks_exact(width)) {
        let (_, last) = row.split_at(width - 1 - rest.len());
        for (out, v) in rest.iter_mut().zip(last) {
            *out += *weight * *v;
        }
        normaliser += *weight * last[last.len() - 1];
    }
    normaliser
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature_map::{Positive, gaussian_rows};
    use crate::head::Head;
    use crate::sequence::{exact_predictions, feature_predictions};
    use icl_numerics::stream::Stream;
    use icl_numerics::tolerance::Tolerance;

    fn head(n: usize, d: usize) -> Head {
        let matrix = |purpose: &str| {
            let rows = gaussian_rows(&Stream::new(3, purpose), n, d);
            Matrix::from_rows(rows.iter().map(Vec::as_slice)).unwrap()
        };
        Head { keys: matrix("k"), queries: matrix("q"), values: matrix("v") }
    }

    #[test]
    fn one_set_of_coefficients_answers_every_query_like_its_own_dual() {
        let head = head(23, 5);
        for visibility in
            [Visibility::All, Visibility::Causal, Visibility::Prefix(9), Visibility::PrefixLm(9)]
        {
            let own = exact_predictions(&head, 11, visibility).unwrap();
            let mut shared = SharedDual::new(5, 5);
            for i in 0..23 {
                shared.step(head.key_value(i)).unwrap();
            }
            let before = shared.coefficients().to_vec();
            let got = shared.predict_all(&head.queries, visibility).unwrap();
            Tolerance::roundoff_f64(100).assert_all_close(got.entries(), own.entries(), "shared");
            assert_eq!(before, shared.coefficients());
        }
    }

    #[test]
    fn streams_answer_causal_queries_on_the_way() {
        let head = head(17, 3);
        let map = Positive::new(gaussian_rows(&Stream::new(4, "w"), 31, 3));
        let exact = exact_predictions(&head, 17, Visibility::Causal).unwrap();
        let featured = feature_predictions(&map, &head, 17, Visibility::Causal).unwrap();
        let (mut dual, mut state) = (SharedDual::new(3, 3), SharedFeatureDual::new(&map, 3, 3));
        let bytes = state.bytes();
        let t = Tolerance::roundoff_f64(200);
        for i in 0..17 {
            let pair = head.key_value(i);
            dual.step(pair).unwrap();
            state.step(pair).unwrap();
            let query = head.queries.row(i);
            t.assert_all_close(&dual.predict(query).unwrap(), exact.row(i), "exact stream");
            t.assert_all_close(&state.predict(query).unwrap(), featured.row(i), "feature stream");
        }
        assert_eq!(state.bytes(), bytes);
    }
}
