//! The sets `N(i)` on lanes: every lane chooses for its own prompt.

use super::linear::{dot, product_transposed};
use icl_numerics::lanes::{Lane16, Lanes};

/// `chosen[i n + j] = 1` where `j` is in `N(i)`, else 0.
///
/// `N(i)` holds the `m` indices `j != i` with the lowest `h_i^T (W_Q^T W_K) h_j`, ties by index. The
/// rank of `j` is counted over all pairs, so no lane branches: `O(n^3)` comparisons per head.
#[inline(always)]
pub(super) fn choose<L: Lanes>(
    l: L,
    similarity: &[f32],
    m: usize,
    tokens: &[Lane16],
    d: usize,
    chosen: &mut [Lane16],
) {
    let n = tokens.len() / d;
    let (zero, one, m) = (l.splat(0.0), l.splat(1.0), l.splat(m as f32 - 0.5));
    let mut query = vec![Lane16::ZERO; d];
    let mut scores = vec![Lane16::ZERO; n];
    for i in 0..n {
        product_transposed(l, &mut query, 1.0, similarity, &tokens[i * d..(i + 1) * d]);
        for (score, token) in scores.iter_mut().zip(tokens.chunks_exact(d)) {
            *score = l.store(dot(l, &query, token));
        }
        let row = &mut chosen[i * n..(i + 1) * n];
        row.fill(Lane16::ZERO);
        for j in 0..n {
            for k in j + 1..n {
                if i == j || i == k {
                    continue;
                }
                // j stands before k unless its score is larger
                let j_after = l.select_gt(l.load(&scores[j]), l.load(&scores[k]), one, zero);
                row[j] = l.store(l.add(l.load(&row[j]), j_after));
                row[k] = l.store(l.add(l.load(&row[k]), l.sub(one, j_after)));
            }
        }
        for (j, rank) in row.iter_mut().enumerate() {
            let inside = l.select_gt(m, l.load(rank), one, zero);
            *rank = if i == j { Lane16::ZERO } else { l.store(inside) };
        }
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
    let n = p.len();
    y.fill(Lane16::ZERO);
    for (p, row) in p.iter().zip(chosen.chunks_exact(n)) {
        super::linear::add_scaled(l, y, l.load(p), row);
    }
    let weight = l.splat(-weight);
    for (y, p) in y.iter_mut().zip(p) {
        *y = l.store(l.mul_add(weight, l.load(y), l.load(p)));
    }
}

/// `x_i = y_i - weight sum_j chosen_ij y_j`: the mixing itself.
#[inline(always)]
pub(super) fn mix<L: Lanes>(l: L, chosen: &[Lane16], weight: f32, y: &[Lane16], x: &mut [Lane16]) {
    let weight = l.splat(-weight);
    for ((x, y_i), row) in x.iter_mut().zip(y).zip(chosen.chunks_exact(y.len())) {
        *x = l.store(l.mul_add(weight, dot(l, row, y), l.load(y_i)));
    }
}
