//! One head on one sequence: attention beside its dual, and the sizes of what enters.

use super::dual::Duals;
use icl_numerics::{largest, order};

/// Largest values and sums over one sequence.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Tokens.
    pub(super) n: usize,
    /// Largest `|attention - dual|`; NaN if an entry is not finite.
    pub(super) difference: f64,
    /// Largest `|attention|`.
    pub(super) output: f64,
    /// Largest `|q_i . k_j|`.
    pub(super) logit: f64,
    /// Largest `|q_i|` and `|k_j|`.
    pub(super) norms: [f64; 2],
    /// Sums of `|q_i|` and of `|k_j|`.
    pub(super) sums_of_norms: [f64; 2],
    /// Sum over tokens of the demonstrations' part of the prediction.
    pub(super) shares: f64,
    /// Largest `z = |q_i + k_j|^2`, over all pairs.
    pub(super) z: f64,
    /// Sum of `z` over all pairs.
    pub(super) sum_of_z: f64,
}

impl Measured {
    /// Attention `[tokens, d_h]` of a sequence and its duals.
    pub(super) fn new(attention: &[f64], duals: &Duals) -> Self {
        let Duals { queries, keys, initial, trained, size } = duals;
        let rows = |x: &[f64]| x.chunks_exact(*size).map(norm).collect::<Vec<f64>>();
        let norms = [rows(queries), rows(keys)];
        let pairs = initial.chunks_exact(*size).zip(trained.chunks_exact(*size));
        let shares: Vec<f64> = pairs.map(|(before, after)| share(before, after)).collect();
        let (logits, z) = pairs_of_tokens(queries, keys, *size);
        let largest_norm = |side: &Vec<f64>| largest::value(side.iter().copied());
        Self {
            n: shares.len(),
            difference: largest::difference(attention, trained),
            output: largest::magnitude(attention.iter().copied()),
            logit: largest::magnitude(logits),
            norms: norms.each_ref().map(largest_norm),
            sums_of_norms: norms.each_ref().map(|side| order::sum(side)),
            shares: order::sum(&shares),
            z: largest::value(z.iter().copied()),
            sum_of_z: order::sum(&z),
        }
    }
}

fn norm(x: &[f64]) -> f64 {
    order::sum_of_squares(x).sqrt()
}

/// `|W_1 phi(q) - W_0 phi(q)| / |W_1 phi(q)|`: the demonstrations' part over the whole; 0 where they add nothing.
/// Parts of opposite directions make it larger than 1.
fn share(before: &[f64], after: &[f64]) -> f64 {
    let part: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    match norm(&part) {
        0.0 => 0.0,
        part => part / norm(after),
    }
}

/// `q_i . k_j` and `|q_i + k_j|^2` of all pairs.
fn pairs_of_tokens(queries: &[f64], keys: &[f64], size: usize) -> (Vec<f64>, Vec<f64>) {
    let squares: Vec<f64> = keys.chunks_exact(size).map(order::sum_of_squares).collect();
    let (mut logits, mut z) = (Vec::new(), Vec::new());
    for q in queries.chunks_exact(size) {
        let square = order::sum_of_squares(q);
        for (k, of_key) in keys.chunks_exact(size).zip(&squares) {
            let logit = order::dot(q, k);
            logits.push(logit);
            // a sum that cancels to nothing may round to less
            z.push(largest::at_least(square + of_key + 2.0 * logit, 0.0));
        }
    }
    (logits, z)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens of size 2 with numbers that are exact in binary.
    fn duals() -> Duals {
        Duals {
            queries: vec![3.0, 4.0, 0.0, 1.0],
            keys: vec![1.0, 0.0, 0.0, -2.0],
            initial: vec![1.0, 0.0, 0.0, 0.0],
            trained: vec![1.0, 1.0, 0.0, 2.0],
            size: 2,
        }
    }

    #[test]
    fn sizes_are_those_of_a_pocket_calculator() {
        let duals = duals();
        let found = Measured::new(&[1.0, 1.0, 0.5, 2.0], &duals);
        assert_eq!((found.n, found.difference, found.output), (2, 0.5, 2.0));
        // logits 3, -8, 0, -2
        assert_eq!(found.logit, 8.0);
        assert_eq!((found.norms, found.sums_of_norms), ([5.0, 2.0], [6.0, 3.0]));
        // the part (0, 1) of (1, 1), and all of (0, 2)
        assert!((found.shares - (0.5_f64.sqrt() + 1.0)).abs() < 1e-15);
        // |(4, 4)|^2, |(3, 2)|^2, |(1, 1)|^2, |(0, -1)|^2
        assert_eq!((found.z, found.sum_of_z), (32.0, 32.0 + 13.0 + 2.0 + 1.0));
    }

    #[test]
    fn a_number_that_is_not_finite_is_never_a_small_difference() {
        for bad in [f64::NAN, f64::INFINITY] {
            let found = Measured::new(&[1.0, 1.0, bad, 2.0], &duals());
            assert!(found.difference.is_nan() && found.output.is_nan());
            let found =
                Measured::new(&[1.0; 4], &Duals { trained: vec![1.0, bad, 0.0, 2.0], ..duals() });
            assert!(found.difference.is_nan() && !found.shares.is_finite());
            let found = Measured::new(&[1.0; 4], &Duals { keys: vec![bad; 4], ..duals() });
            assert!(found.z.is_nan() && found.logit.is_nan() && found.norms[1].is_nan());
        }
    }
}
