//! Random prompts in blocks: one set of demonstrations and several queries, with all that no `beta` changes.

use icl_numerics::order;
use icl_numerics::stream::{Draws, Stream};

/// Queries of a block. They share the demonstrations and are a Latin hypercube: every coordinate has one query in
/// each eighth of `(-1, 1)`.
pub(super) const QUERIES: usize = 8;

/// Statistics of a block whose expectations are known ([`Block::controls`]).
pub(super) const CONTROLS: usize = 13;

/// Second and fourth moment of `U(-1, 1)`.
const M2: f64 = 1.0 / 3.0;
const M4: f64 = 1.0 / 5.0;

/// Which sizes a block has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// `N`.
    pub(super) n: usize,
    /// `d_t`.
    pub(super) d: usize,
    /// `m` of the negatives, 0 for none.
    pub(super) m: usize,
}

/// One set of demonstrations with [`QUERIES`] queries, inputs from `U(-1, 1)`.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// `x_i`, `[N, d]`.
    pub(super) demonstrations: Vec<f64>,
    /// `x_q`, `[QUERIES, d]`.
    pub(super) queries: Vec<f64>,
    /// `x_i . x_q`, `[QUERIES, N]`.
    pub(super) scores: Vec<f64>,
    /// `|x_q|^2`.
    pub(super) own_scores: [f64; QUERIES],
    /// The sets `N(i)`, `[N, m]`, where scores are `beta x_i . x_j` with `beta > 0` and with `beta < 0`.
    pub(super) negatives: [Vec<u16>; 2],
    /// Mean over the queries of thirteen statistics minus their expectations.
    pub(super) controls: [f64; CONTROLS],
}

impl Block {
    /// Block `index` of a stream: a function of these arguments alone.
    pub(super) fn draw(stream: &Stream, index: u64, sizes: Sizes) -> Self {
        let Sizes { n, d, m } = sizes;
        let mut draws = stream.sample(index);
        let queries = latin_hypercube(&mut draws, d);
        let demonstrations: Vec<f64> = (0..n * d).map(|_| 2.0 * unit(&mut draws) - 1.0).collect();
        let scores: Vec<f64> = queries
            .chunks_exact(d)
            .flat_map(|q| demonstrations.chunks_exact(d).map(|x| order::dot(x, q)))
            .collect();
        let own_scores = std::array::from_fn(|k| order::sum_of_squares(&queries[k * d..][..d]));
        let negatives = if m == 0 { [vec![], vec![]] } else { sets(&demonstrations, d, m) };
        let mut block =
            Self { demonstrations, queries, scores, own_scores, negatives, controls: [0.0; _] };
        block.controls = block.controls(sizes);
        block
    }

    /// Control variates. With `u_i = x_i . x_q`, `mu` the mean of the `x_i` and `g` that of the `u_i x_i`:
    ///
    /// ```text
    /// |x_q|^2, |x_q|^4, sum_k x_qk^4, mu . x_q, |mu|^2, mean u^2, (mu . x_q)^2, mu . g, mean |x|^2,
    /// mean u^4, mean u^3, |g|^2, mu . x_q |x_q|^2
    /// ```
    fn controls(&self, Sizes { n, d, .. }: Sizes) -> [f64; CONTROLS] {
        let (count, size) = (n as f64, d as f64);
        let mut mu = vec![0.0; d];
        for x in self.demonstrations.chunks_exact(d) {
            add_scaled(&mut mu, 1.0 / count, x);
        }
        let mean_square = order::sum_of_squares(&self.demonstrations) / count;
        let fourth = size * M4 + size * (size - 1.0) * M2 * M2;
        let mut sums = [0.0; CONTROLS];
        let mut g = vec![0.0; d];
        for (k, query) in self.queries.chunks_exact(d).enumerate() {
            let (u, own) = (&self.scores[k * n..][..n], self.own_scores[k]);
            g.fill(0.0);
            for (u, x) in u.iter().zip(self.demonstrations.chunks_exact(d)) {
                add_scaled(&mut g, *u / count, x);
            }
            let power = |f: fn(f64) -> f64| u.iter().map(|u| f(*u)).fold(0.0, |a, b| a + b) / count;
            let along = order::dot(&mu, query);
            let quartic = query.iter().fold(0.0, |sum, x| sum + x * x * x * x);
            let square = order::sum_of_squares(&g);
            let of_query = [
                own - size * M2,
                own * own - fourth,
                quartic - size * M4,
                along,
                order::sum_of_squares(&mu) - size * M2 / count,
                power(|u| u * u) - size * M2 * M2,
                along * along - size * M2 * M2 / count,
                order::dot(&mu, &g),
                mean_square - size * M2,
                power(|u| u * u * u * u)
                    - size * (M4 * M4 + 3.0 * (size - 1.0) * M2 * M2 * M2 * M2),
                power(|u| u * u * u),
                square - M2 * (fourth + (count - 1.0) * size * M2 * M2) / count,
                along * own,
            ];
            add_scaled(&mut sums, 1.0 / QUERIES as f64, &of_query);
        }
        sums
    }
}

/// `y + c x`, in place.
#[inline(always)]
pub(super) fn add_scaled(y: &mut [f64], c: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += c * x;
    }
}

/// Uniform in `(0, 1)` with 32 bits (one word).
fn unit(draws: &mut Draws<'_>) -> f64 {
    /// `2^-32`.
    const CELL: f64 = 1.0 / 4_294_967_296.0;
    (f64::from(draws.next_u32()) + 0.5) * CELL
}

/// The queries, `[QUERIES, d]`.
fn latin_hypercube(draws: &mut Draws<'_>, d: usize) -> Vec<f64> {
    let mut queries = vec![0.0; QUERIES * d];
    for coordinate in 0..d {
        for (k, cell) in draws.permutation(QUERIES).into_iter().enumerate() {
            let place = (cell as f64 + unit(draws)) / QUERIES as f64;
            queries[k * d + coordinate] = 2.0 * place - 1.0;
        }
    }
    queries
}

/// For every demonstration the `m` others with the lowest and with the highest `x_i . x_j`, ties by index.
fn sets(demonstrations: &[f64], d: usize, m: usize) -> [Vec<u16>; 2] {
    let rows = || demonstrations.chunks_exact(d);
    let mut chosen = [vec![], vec![]];
    for (i, x) in rows().enumerate() {
        let scores: Vec<f64> = rows().map(|other| order::dot(x, other)).collect();
        for (sign, chosen) in [1.0, -1.0].into_iter().zip(&mut chosen) {
            let mut others: Vec<u16> =
                (0..scores.len() as u16).filter(|j| *j as usize != i).collect();
            let score = |j: &u16| sign * scores[*j as usize];
            let by_score = |a: &u16, b: &u16| score(a).total_cmp(&score(b)).then(a.cmp(b));
            others.select_nth_unstable_by(m - 1, by_score);
            others[..m].sort_unstable();
            chosen.extend_from_slice(&others[..m]);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_has_the_expectation_that_is_taken_off() {
        let stream = Stream::new(5, "controls");
        for (n, d) in [(1, 1), (2, 3), (5, 2)] {
            let blocks = 20_000_u64;
            let draw = |i| Block::draw(&stream, i, Sizes { n, d, m: 0 }).controls;
            let all: Vec<[f64; CONTROLS]> = (0..blocks).map(draw).collect();
            for control in 0..CONTROLS {
                let column: Vec<f64> = all.iter().map(|c| c[control]).collect();
                let mean = order::mean(&column).unwrap();
                let error = (order::variance(&column).unwrap() / blocks as f64).sqrt();
                assert!(mean.abs() <= 5.0 * error + 1e-12, "{n} {d} {control}: {mean} +- {error}");
            }
        }
    }

    #[test]
    fn negatives_are_the_others_with_the_lowest_and_the_highest_products() {
        // on a line: products with the first are 1, 2, -3, 0
        let [low, high] = sets(&[1.0, 2.0, -3.0, 0.0], 1, 2);
        assert_eq!(low[..2], [2, 3]);
        assert_eq!(high[..2], [1, 3]);
        // with the last all are zero: the lower indices
        assert_eq!((&low[6..], &high[6..]), (&[0, 1][..], &[0, 1][..]));
    }
}
