//! Attention of one head over one sequence, forward and back, on lanes.
//!
//! ```text
//! o_i = sum_{j != i} w_ij v~_j + (1 - alpha) w_ii v_i,    v~ = (I - (beta/m) Neg) g1(v)
//! w_i = softmax of q_i . g2(k_j) / sqrt(d_h) over j != i, and of q_i . k_i / sqrt(d_h)
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
    /// Keys by which tokens see themselves, where those of demonstrations are others.
    pub(super) own_k: Option<Part<'a>>,
    /// Values, likewise.
    pub(super) own_v: Option<Part<'a>>,
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
        self.terms.negatives.map(|of| of.beta / of.m as f32)
    }

    /// Whether tokens have another value for themselves than for others, but for a factor.
    fn is_apart(&self) -> bool {
        self.own_v.is_some() || self.share().is_some()
    }

    /// The value of a token for itself.
    fn own_v(&self) -> Part<'_> {
        self.own_v.unwrap_or(self.v)
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
        let lower = |a: &usize, b: &usize| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b));
        if m < order.len() {
            order.select_nth_unstable_by(m, lower);
            order.truncate(m);
        }
        order.sort_unstable_by(lower);
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
        if let Some(k) = head.own_k {
            let own = |i| (0..size).map(|c| head.q.at(i, c) * k.at(i, c)).sum();
            (0..n_queries).for_each(|i| weights[i * n + i] = own(i));
        }
        let scale = head.scale();
        for row in weights.chunks_exact_mut(n) {
            row.iter_mut().for_each(|x| *x *= scale);
            ops::softmax_row(l, row);
        }
        let mut output = vec![0.0; n_queries * size];
        let own = 1.0 - head.terms.alpha;
        let of_others = if head.is_apart() { 0.0 } else { own };
        let acting = head.acting(&weights, of_others);
        let scalars = Scalars { entries: &acting, row: n, column: 1 };
        product(l, &mut output, size, scalars, &head.mixed(), [n_queries, n]);
        if head.is_apart() {
            let (acting, v) = (head.acting(&weights, own), head.own_v());
            for i in 0..n_queries {
                for c in 0..size {
                    output[i * size + c] += acting[i * n + i] * v.at(i, c);
                }
            }
        }
        (output, weights)
    }
}

/// Gradients of queries `[queries, d_h]`, keys and values `[tokens, d_h]`, and of keys and values for tokens themselves
/// where these are others (otherwise empty).
pub(super) struct Gradients {
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) own_k: Vec<f32>,
    pub(super) own_v: Vec<f32>,
}

/// The gradients from that of the outputs `g`.
pub(super) struct Backward<'a> {
    pub(super) head: Head<'a>,
    pub(super) weights: &'a [f32],
    pub(super) g: Part<'a>,
}

impl Kernel for Backward<'_> {
    type Output = Gradients;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Gradients {
        let (v, own_v) = self.of_values(l);
        let mut of_scores = self.of_scores(l);
        let Head { q, k, own_k, .. } = self.head;
        let (n_queries, n, size) = (q.n(), k.n(), q.size);
        let own: Vec<f32> = match own_k {
            Some(_) => (0..n_queries).map(|i| std::mem::take(&mut of_scores[i * n + i])).collect(),
            None => Vec::new(),
        };
        let mut of_q = vec![0.0; n_queries * size];
        let rows = Scalars { entries: &of_scores, row: n, column: 1 };
        product(l, &mut of_q, size, rows, &k.wide(), [n_queries, n]);
        let mut of_k = vec![0.0; n * size];
        let columns = Scalars { entries: &of_scores, row: 1, column: n };
        product(l, &mut of_k, size, columns, &q.wide(), [n, n_queries]);
        let mut of_own_k = vec![0.0; if own_k.is_some() { n * size } else { 0 }];
        if let Some(k) = own_k {
            for (i, g) in own.iter().enumerate() {
                for c in 0..size {
                    of_q[i * size + c] += g * k.at(i, c);
                    of_own_k[i * size + c] = g * q.at(i, c);
                }
            }
        }
        Gradients { q: of_q, k: of_k, v, own_k: of_own_k, own_v }
    }
}

impl Backward<'_> {
    /// Gradients of the values, and of those for tokens themselves.
    #[inline(always)]
    fn of_values<L: Lanes>(&self, l: L) -> (Vec<f32>, Vec<f32>) {
        let Self { head, weights, g } = self;
        let (n_queries, n, size) = (head.q.n(), head.k.n(), head.q.size);
        let own = 1.0 - head.terms.alpha;
        let acting = head.acting(weights, if head.is_apart() { 0.0 } else { own });
        let mut of_v = vec![0.0; n * size];
        let transposed = Scalars { entries: &acting, row: 1, column: n };
        product(l, &mut of_v, size, transposed, &g.wide(), [n, n_queries]);
        if let Some(share) = head.share() {
            of_v = unmixed(&of_v, head.negatives, share, size);
        }
        let mut of_own = vec![0.0; if head.own_v.is_some() { n * size } else { 0 }];
        if head.is_apart() {
            let acting = head.acting(weights, own);
            let place = if head.own_v.is_some() { &mut of_own } else { &mut of_v };
            for i in 0..n_queries {
                for c in 0..size {
                    place[i * size + c] += acting[i * n + i] * g.at(i, c);
                }
            }
        }
        (of_v, of_own)
    }

    /// The gradient of the scores before their scale, `[queries, tokens]`.
    #[inline(always)]
    fn of_scores<L: Lanes>(&self, l: L) -> Vec<f32> {
        let Self { head, weights, g } = self;
        let (n_queries, n, size) = (head.q.n(), head.k.n(), head.q.size);
        let own = 1.0 - head.terms.alpha;
        let mut of_scores = vec![0.0; n_queries * n];
        let values = head.mixed();
        let columns =
            Wide::new(size, n, |c, j| values.entries[j * values.width + c / 16].0[c % 16]);
        product(l, &mut of_scores, n, g.scalars(), &columns, [n_queries, size]);
        let own_v = head.own_v();
        for (i, row) in of_scores.chunks_exact_mut(n).enumerate() {
            let plain = |c: usize| g.at(i, c) * own_v.at(i, c);
            let apart = head.is_apart();
            row[i] = if apart { own * (0..size).map(plain).sum::<f32>() } else { own * row[i] };
            if !head.factors.is_empty() {
                let factors = &head.factors[i * n..(i + 1) * n];
                row.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor);
            }
            let weights = &weights[i * n..(i + 1) * n];
            let mean = ops::dot(l, row, weights);
            let scale = head.scale();
            row.iter_mut().zip(weights).for_each(|(x, w)| *x = scale * w * (*x - mean));
        }
        of_scores
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
