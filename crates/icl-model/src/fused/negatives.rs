//! The sets `N(i)` on lanes: every lane chooses for its own prompt.

use super::linear::{add_outers, add_product, add_product_transposed, product, product_transposed};
use crate::attention::Rule;
use icl_numerics::lanes::{Lane16, Lanes};

/// Buffers of [`choose`].
pub(super) struct NegativeScratch {
    /// `chosen[i n + j] = 1` where `j` is in `N(i)`, else 0.
    pub(super) chosen: Vec<Lane16>,
    query: Vec<Lane16>,
    scores: Vec<Lane16>,
    /// The `m` lowest scores, ascending.
    lowest: Vec<Lane16>,
}

impl NegativeScratch {
    /// For `m` negatives of `n` demonstrations of size `d`.
    pub(super) fn new(m: usize, n: usize, d: usize) -> Self {
        let zeros = |k: usize| vec![Lane16::ZERO; k];
        Self { chosen: zeros(n * n), query: zeros(d), scores: zeros(n), lowest: zeros(m) }
    }

    /// Nothing, for a layer without negatives.
    pub(super) fn none() -> Self {
        Self::new(0, 0, 0)
    }
}

/// Chooses `N(i)` by the rule among the `j != i`, by the scores `h_i^T (W_Q^T W_K) h_j` with ties by index, or by
/// place.
///
/// The `m`-th lowest score is found by insertion, `O(n m)` comparisons per demonstration; no lane
/// branches.
#[inline(always)]
pub(super) fn choose<L: Lanes>(
    l: L,
    rule: Rule,
    similarity: &[f32],
    s: &mut NegativeScratch,
    tokens: &[Lane16],
    d: usize,
) {
    let n = tokens.len() / d;
    for i in 0..n {
        match rule {
            Rule::Lowest | Rule::Highest => {
                let sign = if rule == Rule::Lowest { 1.0 } else { -1.0 };
                product_transposed(l, &mut s.query, 1.0, similarity, &tokens[i * d..(i + 1) * d]);
                product(l, &mut s.scores, sign, tokens, &s.query);
            }
            Rule::Next | Rule::All => {
                for (j, score) in s.scores.iter_mut().enumerate() {
                    *score = l.store(l.splat(((j + n - i) % n) as f32));
                }
            }
        }
        // a demonstration is not its own negative
        s.scores[i] = l.store(l.splat(f32::INFINITY));
        lowest(l, &s.scores, &mut s.lowest);
        mark(l, &s.scores, &s.lowest, &mut s.chosen[i * n..(i + 1) * n]);
    }
}

/// The lowest of `scores`, ascending.
#[inline(always)]
fn lowest<L: Lanes>(l: L, scores: &[Lane16], lowest: &mut [Lane16]) {
    lowest.fill(Lane16([f32::INFINITY; icl_numerics::lanes::LANES]));
    for score in scores {
        let mut rest = l.load(score);
        for place in lowest.iter_mut() {
            let present = l.load(place);
            *place = l.store(l.min(rest, present));
            rest = l.max(rest, present);
        }
    }
}

/// Marks by 1 the scores below the last of `lowest`, and as many equal to it, in order, as are wanted.
#[inline(always)]
fn mark<L: Lanes>(l: L, scores: &[Lane16], lowest: &[Lane16], chosen: &mut [Lane16]) {
    let (zero, one) = (l.splat(0.0), l.splat(1.0));
    let Some(threshold) = lowest.last().map(|x| l.load(x)) else { return };
    let mut wanted = l.splat(lowest.len() as f32);
    for (mark, score) in chosen.iter_mut().zip(scores) {
        let below = l.select_gt(threshold, l.load(score), one, zero);
        wanted = l.sub(wanted, below);
        *mark = l.store(below);
    }
    for (mark, score) in chosen.iter_mut().zip(scores) {
        let (below, score) = (l.load(mark), l.load(score));
        let equal = l.sub(l.select_gt(score, threshold, zero, one), below);
        let taken = l.select_gt(wanted, zero, equal, zero);
        wanted = l.sub(wanted, taken);
        *mark = l.store(l.add(below, taken));
    }
}

/// `y_j = p_j - weight sum_i chosen_ij p_i`: the mixing `I - weight Neg`, transposed.
#[inline(always)]
pub(super) fn mix_transposed<L: Lanes>(
    l: L,
    chosen: &[Lane16],
    weight: f32,
    p: &[Lane16],
    y: &mut [Lane16],
) {
    product_transposed(l, y, 1.0, chosen, p);
    let weight = l.splat(-weight);
    for (y, p) in y.iter_mut().zip(p) {
        *y = l.store(l.mul_add(weight, l.load(y), l.load(p)));
    }
}

/// `x_i = y_i - weight sum_j chosen_ij y_j`: the mixing itself.
#[inline(always)]
pub(super) fn mix<L: Lanes>(l: L, chosen: &[Lane16], weight: f32, y: &[Lane16], x: &mut [Lane16]) {
    x.copy_from_slice(y);
    add_product(l, x, -weight, chosen, y);
}

/// The mixing on rows, `x` and `y` `[n, d]`.
#[inline(always)]
pub(super) fn mix_rows<L: Lanes>(
    l: L,
    chosen: &[Lane16],
    weight: f32,
    y: &[Lane16],
    x: &mut [Lane16],
    d: usize,
) {
    x.copy_from_slice(y);
    for (x, chosen) in x.chunks_exact_mut(d).zip(chosen.chunks_exact(y.len() / d)) {
        add_product_transposed(l, x, -weight, y, chosen);
    }
}

/// The transposed mixing on rows, `x` and `y` `[n, d]`.
#[inline(always)]
pub(super) fn mix_rows_transposed<L: Lanes>(
    l: L,
    chosen: &[Lane16],
    weight: f32,
    y: &[Lane16],
    x: &mut [Lane16],
    d: usize,
) {
    x.copy_from_slice(y);
    let n = y.len() / d;
    add_outers(l, x, -weight, chosen, y, [n, d]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::lanes::{Isa, Kernel, LANES};
    use icl_numerics::stream::Stream;

    struct Choose<'a>(Rule, &'a [f32], &'a mut NegativeScratch, &'a [Lane16], usize);

    impl Kernel for Choose<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            choose(l, self.0, self.1, self.2, self.3, self.4);
        }
    }

    /// `N(i)` for every `i` by a sort: lowest scores first, ties by index.
    fn sorted_sets(scores: &[f64], n: usize, m: usize) -> Vec<Vec<usize>> {
        let row = |i: usize| {
            let mut others: Vec<usize> = (0..n).filter(|j| *j != i).collect();
            others.sort_by(|a, b| scores[i * n + a].total_cmp(&scores[i * n + b]));
            others.truncate(m);
            others
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn the_sets_are_those_of_a_sort_with_ties_by_index() {
        let (n, d) = (7, 2);
        let similarity = [1.0, 0.0, 0.0, 1.0];
        let stream = Stream::new(1, "negatives");
        // whole numbers from -1 to 1: most scores are tied
        let entry = |i: usize| {
            let mut draws = stream.sample(i as u64);
            Lane16(std::array::from_fn(|_| draws.below(3) as f32 - 1.0))
        };
        let tokens: Vec<Lane16> = (0..n * d).map(entry).collect();
        for (isa, m) in Isa::available().flat_map(|isa| (1..n).map(move |m| (isa, m))) {
            let mut scratch = NegativeScratch::new(m, n, d);
            isa.run(Choose(Rule::Lowest, &similarity, &mut scratch, &tokens, d));
            for lane in 0..LANES {
                let dot = |ij: usize| {
                    let entry = |i: usize, k: usize| f64::from(tokens[i * d + k][lane]);
                    // from +0: a sum of -0 would be sorted before it
                    (0..d).fold(0.0, |sum, k| sum + entry(ij / n, k) * entry(ij % n, k))
                };
                let scores: Vec<f64> = (0..n * n).map(dot).collect();
                for (i, set) in sorted_sets(&scores, n, m).iter().enumerate() {
                    for j in 0..n {
                        let chosen = scratch.chosen[i * n + j][lane];
                        assert_eq!(chosen == 1.0, set.contains(&j), "{isa:?} {m} {lane} {i} {j}");
                    }
                }
            }
        }
    }
}
