//! What heads with keys and queries `x` see of a block: `s = sum_i y_i x_i` and the query's softmax mass.

use super::prompts::{Block, CONTROLS, QUERIES, add_scaled};
use icl_numerics::{largest, math, order};

/// The most heads.
pub(super) const HEADS: usize = 2;

/// Masses, products `s_h . x_q` and products `s_h . s_g` of two heads.
pub(super) const STATISTICS: usize = HEADS + HEADS + HEADS * (HEADS + 1) / 2;

/// All that a block says: controls, then statistics.
pub(super) type Sample = [f64; CONTROLS + STATISTICS];

/// How heads read a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Whether the query token is in the softmax.
    pub(super) query_inside: bool,
    /// `beta / m` of the negatives and `m`.
    pub(super) negatives: Option<(f64, usize)>,
}

/// Buffers of [`Smoother::read`].
#[derive(Debug)]
pub(super) struct Smoother {
    weights: Vec<f64>,
    mixed: Vec<f64>,
    /// `s` of every head, `[HEADS, d]`.
    sums: Vec<f64>,
}

impl Smoother {
    /// For `n` demonstrations of size `d`.
    pub(super) fn new(n: usize, d: usize) -> Self {
        Self { weights: vec![0.0; n], mixed: vec![0.0; n], sums: vec![0.0; HEADS * d] }
    }

    /// Controls of the block, then the means over its queries of masses `p_q`, products `s_h . x_q` and products
    /// `s_1 . s_1`, `s_1 . s_2`, `s_2 . s_2`, for heads with scores `beta_h x_i . x_q`; absent heads have zeros.
    pub(super) fn read(&mut self, block: &Block, reading: Reading, betas: &[f64]) -> Sample {
        let n = self.weights.len();
        let d = self.sums.len() / HEADS;
        let mut sample = [0.0; CONTROLS + STATISTICS];
        sample[..CONTROLS].copy_from_slice(&block.controls);
        for k in 0..QUERIES {
            let own = reading.query_inside.then_some(block.own_scores[k]);
            let mut found = [0.0; STATISTICS];
            for (head, beta) in betas.iter().enumerate() {
                found[head] = self.attend(&block.scores[k * n..][..n], own, *beta);
                self.mix(block, reading, *beta);
                let sum = &mut self.sums[head * d..][..d];
                sum.fill(0.0);
                for (y, x) in self.mixed.iter().zip(block.demonstrations.chunks_exact(d)) {
                    add_scaled(sum, *y, x);
                }
                found[HEADS + head] = order::dot(sum, &block.queries[k * d..][..d]);
            }
            let (first, second) = self.sums.split_at(d);
            found[2 * HEADS] = order::sum_of_squares(first);
            if betas.len() == HEADS {
                found[2 * HEADS + 1] = order::dot(first, second);
                found[2 * HEADS + 2] = order::sum_of_squares(second);
            }
            add_scaled(&mut sample[CONTROLS..], 1.0 / QUERIES as f64, &found);
        }
        sample
    }

    /// Softmax weights of the demonstrations; returns that of the query.
    fn attend(&mut self, scores: &[f64], own: Option<f64>, beta: f64) -> f64 {
        let all = || scores.iter().copied().chain(own);
        let shift = largest::value(all().map(|score| beta * score));
        for (weight, score) in self.weights.iter_mut().zip(scores) {
            *weight = math::exp_of_negative(beta * score - shift);
        }
        let own = own.map_or(0.0, |own| math::exp_of_negative(beta * own - shift));
        let inverse = 1.0 / (order::sum(&self.weights) + own);
        self.weights.iter_mut().for_each(|weight| *weight *= inverse);
        own * inverse
    }

    /// `y_j = p_j - (beta/m) sum of p_i over the i with j in N(i)`.
    fn mix(&mut self, block: &Block, reading: Reading, beta: f64) {
        self.mixed.copy_from_slice(&self.weights);
        let Some((strength, m)) = reading.negatives else { return };
        let sets = &block.negatives[usize::from(beta < 0.0)];
        for (p, set) in self.weights.iter().zip(sets.chunks_exact(m)) {
            set.iter().for_each(|j| self.mixed[*j as usize] -= strength * p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::prompts::Sizes;
    use super::*;
    use crate::dual::KeyValue;
    use crate::modification::{ModifiedLoss, predict_after_full_batch_step};
    use icl_numerics::stream::Stream;
    use icl_numerics::tolerance::Tolerance;

    /// The dual model on the modified loss, with values `x_i`, predicts `s`.
    #[test]
    fn the_sum_is_the_duals_prediction_for_the_values_x() {
        let (n, d, m) = (6, 3, 2);
        let block = Block::draw(&Stream::new(3, "smoother"), 0, Sizes { n, d, m });
        for beta in [1.3, -0.8] {
            let reading = Reading { query_inside: true, negatives: Some((0.7 / m as f64, m)) };
            let sample = Smoother::new(n, d).read(&block, reading, &[beta]);
            let sets = block.negatives[usize::from(beta < 0.0)].chunks_exact(m);
            let sets: Vec<Vec<usize>> =
                sets.map(|set| set.iter().map(|j| *j as usize).collect()).collect();
            let loss = ModifiedLoss { negatives: Some((0.7, &sets[..])), ..ModifiedLoss::PLAIN };
            let rows = block.demonstrations.chunks_exact(d);
            let pairs: Vec<KeyValue<'_>> = rows.map(|x| KeyValue { key: x, value: x }).collect();
            let (mut along, mut square) = (0.0, 0.0);
            for query in block.queries.chunks_exact(d) {
                let scaled: Vec<f64> = query.iter().map(|x| beta * x).collect();
                let own = [KeyValue { key: query, value: &vec![0.0; d] }];
                let s = predict_after_full_batch_step(&loss, &pairs, &own, &scaled).unwrap();
                along += order::dot(&s, query) / QUERIES as f64;
                square += order::sum_of_squares(&s) / QUERIES as f64;
            }
            let bound = Tolerance::roundoff_f64(100);
            bound.assert_close(sample[CONTROLS + HEADS], along, 1.0, "s . x_q");
            bound.assert_close(sample[CONTROLS + 2 * HEADS], square, 1.0, "|s|^2");
        }
    }
}
