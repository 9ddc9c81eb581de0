//! Attention of one head over one sequence, forward and back, on lanes.
//!
//! ```text
//! o_i = sum_{j != i} w_ij v~_j + (1 - alpha) w_ii v_i,    v~ = (I - (beta/m) Neg) v,    w = softmax(q k^T / sqrt(d_h))
//! ```

use super::small::{Scalars, Wide, product};
use crate::attention::Terms;
use crate::ops;
use icl_numerics::lanes::{Isa, Kernel, Lanes};

/// A head's part of rows of width `d`: entries `first .. first + size` of every row.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) rows: &'a [f32],
    pub(super) d: usize,
    pub(super) first: usize,
    pub(super) size: usize,
}

impl Part<'_> {
    fn n(&self) -> usize {
        self.rows.len() / self.d
    }

    fn at(&self, row: usize, i: usize) -> f32 {
        self.rows[row * self.d + self.first + i]
    }

    /// Rows of lanes over the entries.
    fn wide(&self) -> Wide {
        Wide::new(self.n(), self.size, |row, i| self.at(row, i))
    }

    /// Lanes over the rows: one row of lanes for every entry.
    fn transposed(&self) -> Wide {
        Wide::new(self.size, self.n(), |i, row| self.at(row, i))
    }

    fn scalars(&self) -> Scalars<'_> {
        Scalars { entries: &self.rows[self.first..], row: self.d, column: 1 }
    }
}

/// Queries, keys and values of a head; the queries are those of the first tokens.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) q: Part<'a>,
    pub(super) k: Part<'a>,
    pub(super) v: Part<'a>,
    pub(super) terms: Terms,
    /// Negatives of every token, `[tokens, m]`; empty without.
    pub(super) negatives: &'a [usize],
    /// Factors on the weights, `[queries, tokens]`; empty without dropout.
    pub(super) factors: &'a [f32],
}

impl Head<'_> {
    fn scale(&self) -> f32 {
        1.0 / (self.q.size as f32).sqrt()
    }

    /// Weights as they act on values: dropped, the own one times `1 - alpha`, or, for the others' values alone, 0.
    fn acting(&self, weights: &[f32], own: f32) -> Vec<f32> {
        let n = self.k.n();
        let mut acting = weights.to_vec();
        if !self.factors.is_empty() {
            acting.iter_mut().zip(self.factors).for_each(|(w, factor)| *w *= factor);
        }
        acting.chunks_exact_mut(n).enumerate().for_each(|(i, row)| row[i] *= own);
        acting
    }

    fn share(&self) -> Option<f32> {
        self.terms.negatives.map(|(m, beta)| beta / m as f32)
    }

    /// `v~`, as rows of lanes.
    fn mixed(&self) -> Wide {
        let (v, Some(share)) = (self.v, self.share()) else { return self.v.wide() };
        let m = self.negatives.len() / v.n();
        let negatives = |row: usize| &self.negatives[row * m..(row + 1) * m];
        Wide::new(v.n(), v.size, |row, i| {
            let sum: f32 = negatives(row).iter().map(|j| v.at(*j, i)).sum();
            v.at(row, i) - share * sum
        })
    }
}

/// The `m` tokens of lowest score towards every token, itself left out, ties to the lower index; as
/// [`negative`](crate::attention) chooses them, from `q` and `k` of all tokens.
pub(super) fn negatives(isa: Isa, q: Part<'_>, k: Part<'_>, m: usize) -> Vec<usize> {
    let n = k.n();
    let scores = isa.run(Scores { q, k });
    let row = |i: usize| {
        let scores = &scores[i * n..(i + 1) * n];
        let mut order: Vec<usize> = (0..n).filter(|j| *j != i).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        order.truncate(m);
        order
    };
    (0..n).flat_map(row).collect()
}

/// `q k^T`.
struct Scores<'a> {
    q: Part<'a>,
    k: Part<'a>,
}

impl Kernel for Scores<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Vec<f32> {
        let (n_queries, n) = (self.q.n(), self.k.n());
        let mut scores = vec![0.0; n_queries * n];
        let shape = [n_queries, self.q.size];
        product(l, &mut scores, n, self.q.scalars(), &self.k.transposed(), shape);
        scores
    }
}

/// Outputs `[queries, d_h]` and softmax weights `[queries, tokens]` of a head.
pub(super) struct Forward<'a>(pub(super) Head<'a>);

impl Kernel for Forward<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> (Vec<f32>, Vec<f32>) {
        let head = self.0;
        let (n_queries, n, size) = (head.q.n(), head.k.n(), head.q.size);
        let mut weights = Scores { q: head.q, k: head.k }.run(l);
        let scale = head.scale();
        for row in weights.chunks_exact_mut(n) {
            row.iter_mut().for_each(|x| *x *= scale);
            ops::softmax_row(l, row);
        }
        let mut output = vec![0.0; n_queries * size];
        let own = 1.0 - head.terms.alpha;
        let of_others = if head.share().is_some() { 0.0 } else { own };
        let acting = head.acting(&weights, of_others);
        let scalars = Scalars { entries: &acting, row: n, column: 1 };
        product(l, &mut output, size, scalars, &head.mixed(), [n_queries, n]);
        if head.share().is_some() {
            let acting = head.acting(&weights, own);
            for i in 0..n_queries {
                for c in 0..size {
                    output[i * size + c] += acting[i * n + i] * head.v.at(i, c);
                }
            }
        }
        (output, weights)
    }
}

/// Gradients of queries `[queries, d_h]`, keys and values `[tokens, d_h]` from that of the outputs `g`.
pub(super) struct Backward<'a> {
    pub(super) head: Head<'a>,
    pub(super) weights: &'a [f32],
    pub(super) g: Part<'a>,
}

impl Kernel for Backward<'_> {
    type Output = [Vec<f32>; 3];

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> [Vec<f32>; 3] {
        let Self { head, weights, g } = self;
        let (n_queries, n, size) = (head.q.n(), head.k.n(), head.q.size);
        let own = 1.0 - head.terms.alpha;
        let mixed = head.share().is_some();
        let acting = head.acting(weights, if mixed { 0.0 } else { own });
        // values: of the others' first
        let mut of_v = vec![0.0; n * size];
        let transposed = Scalars { entries: &acting, row: 1, column: n };
        product(l, &mut of_v, size, transposed, &g.wide(), [n, n_queries]);
        if let Some(share) = head.share() {
            of_v = unmixed(&of_v, head.negatives, share, size);
            let acting = head.acting(weights, own);
            for i in 0..n_queries {
                for c in 0..size {
                    of_v[i * size + c] += acting[i * n + i] * g.at(i, c);
                }
            }
        }
        // weights
        let mut of_scores = vec![0.0; n_queries * n];
        let values = head.mixed();
        let columns =
            Wide::new(size, n, |c, j| values.entries[j * values.width + c / 16].0[c % 16]);
        product(l, &mut of_scores, n, g.scalars(), &columns, [n_queries, size]);
        for (i, row) in of_scores.chunks_exact_mut(n).enumerate() {
            let plain = |c: usize| g.at(i, c) * head.v.at(i, c);
            row[i] = if mixed { own * (0..size).map(plain).sum::<f32>() } else { own * row[i] };
            if !head.factors.is_empty() {
                let factors = &head.factors[i * n..(i + 1) * n];
                row.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor);
            }
            let weights = &weights[i * n..(i + 1) * n];
            let mean = ops::dot(l, row, weights);
            let scale = head.scale();
            row.iter_mut().zip(weights).for_each(|(x, w)| *x = scale * w * (*x - mean));
        }
        // queries and keys
        let mut of_q = vec![0.0; n_queries * size];
        let rows = Scalars { entries: &of_scores, row: n, column: 1 };
        product(l, &mut of_q, size, rows, &head.k.wide(), [n_queries, n]);
        let mut of_k = vec![0.0; n * size];
        let columns = Scalars { entries: &of_scores, row: 1, column: n };
        product(l, &mut of_k, size, columns, &head.q.wide(), [n, n_queries]);
        [of_q, of_k, of_v]
    }
}

/// The gradient of `v` from that of `v~`.
fn unmixed(of_mixed: &[f32], negatives: &[usize], share: f32, size: usize) -> Vec<f32> {
    let mut of_v = of_mixed.to_vec();
    let m = negatives.len() / (of_mixed.len() / size);
    if m == 0 {
        return of_v;
    }
    for (negatives, g) in negatives.chunks_exact(m).zip(of_mixed.chunks_exact(size)) {
        for j in negatives {
            let place = &mut of_v[j * size..(j + 1) * size];
            place.iter_mut().zip(g).for_each(|(sum, g)| *sum -= share * g);
        }
    }
    of_v
}
