//! A trained layer over demonstrations only, evaluated in `f64` on regression problems of any kind.

use crate::regression::Problem;
use crate::views::heads;
use dual_model::head::HeadMatrices;
use icl_model::attention::Parameters;
use icl_model::kernel::Kernel;
use icl_model::settings::TrainSettings;
use icl_numerics::largest;
use icl_numerics::{math, order};

/// One head: `prediction = sum_j p_j (b . h_j)`, `p` from the logits `h_j^T C h_q`, `h = [x; y]`.
struct Head {
    /// The s-row of `W_V`.
    b: Vec<f64>,
    /// `W_K^T W_Q / sqrt(d)`, row by row.
    c: Vec<f64>,
}

/// The demonstrations `[x_i; y_i]` of a problem.
pub(crate) fn tokens(problem: &Problem) -> Vec<Vec<f64>> {
    problem.x.iter().zip(&problem.y).map(|(x, y)| [x.as_slice(), &[*y]].concat()).collect()
}

/// The layer.
pub(crate) struct AttentionLayer {
    heads: Vec<Head>,
    linear: bool,
}

impl AttentionLayer {
    /// The layer of these settings with the given parameters; one target.
    ///
    /// # Errors
    /// If a projection is missing.
    pub(crate) fn new(settings: &TrainSettings, parameters: &Parameters) -> anyhow::Result<Self> {
        let d = settings.prompt.d();
        let head = |matrices: HeadMatrices| {
            let (q, k, v) = (matrices.w_q, matrices.w_k, matrices.w_v);
            let entry = |ij: usize| {
                let terms: Vec<f64> = (0..d).map(|a| k.row(a)[ij / d] * q.row(a)[ij % d]).collect();
                order::sum(&terms) / (d as f64).sqrt()
            };
            Head { b: v.row(d - 1).to_vec(), c: (0..d * d).map(entry).collect() }
        };
        let heads = heads::of_parameters(parameters, d)?.into_iter().map(head).collect();
        Ok(Self { heads, linear: settings.kernel == Kernel::Linear })
    }

    /// Prediction for the query of `problem`.
    pub(crate) fn predict(&self, problem: &Problem) -> f64 {
        self.answer(&tokens(problem), &problem.query)
    }

    /// Prediction for a query after these [`tokens`].
    pub(crate) fn answer(&self, tokens: &[Vec<f64>], query: &[f64]) -> f64 {
        let query = [query, &[0.0]].concat();
        let one = |head: &Head| {
            let u: Vec<f64> =
                head.c.chunks_exact(query.len()).map(|row| order::dot(row, &query)).collect();
            let logits: Vec<f64> = tokens.iter().map(|h| order::dot(h, &u)).collect();
            let values: Vec<f64> = tokens.iter().map(|h| order::dot(h, &head.b)).collect();
            if self.linear {
                return order::dot(&logits, &values) / tokens.len() as f64;
            }
            let top = largest::value(logits.iter().copied());
            let weights: Vec<f64> = logits.iter().map(|z| math::exp(z - top)).collect();
            order::dot(&weights, &values) / order::sum(&weights)
        };
        self.heads.iter().map(one).sum()
    }

    /// For one head of linear attention: its weights moved by `share` towards those of the gradient step
    /// `eta`. Value row and map of inputs have a common factor, which is fixed by the label's entry of the row.
    pub(crate) fn towards_gradient_step(&self, share: f64, eta: f64) -> Self {
        let Head { b, c } = &self.heads[0];
        let (d, width) = (b.len() - 1, b.len());
        let mix = |own: f64, step: f64| (1.0 - share) * own + share * step;
        let row =
            b.iter().enumerate().map(|(i, b_i)| mix(b_i / b[d], if i == d { 1.0 } else { 0.0 }));
        let map = c.iter().enumerate().map(|(ij, c_ij)| {
            let (i, j) = (ij / width, ij % width);
            mix(b[d] * c_ij, if i == j && i < d { eta } else { 0.0 })
        });
        Self { heads: vec![Head { b: row.collect(), c: map.collect() }], linear: self.linear }
    }

    /// For one head of linear attention: the step `eta` of the gradient step that it is closest to, and the
    /// distance of its map of inputs from `eta I`, relative to that.
    pub(crate) fn learned_step(&self) -> [f64; 2] {
        let Head { b, c } = &self.heads[0];
        let (d, width) = (b.len() - 1, b.len());
        let scale = b[d];
        let entry = |i: usize, j: usize| scale * c[i * width + j];
        let diagonal: Vec<f64> = (0..d).map(|i| entry(i, i)).collect();
        let eta = order::sum(&diagonal) / d as f64;
        let gaps: Vec<f64> = (0..d * d)
            .map(|ij| entry(ij / d, ij % d) - if ij / d == ij % d { eta } else { 0.0 })
            .collect();
        [eta, order::sum_of_squares(&gaps).sqrt() / (eta.abs() * (d as f64).sqrt())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::{Entries, Predictor};
    use icl_model::attention::{self, LayerShape};
    use icl_model::prompt::PromptShape;
    use icl_numerics::stream::Stream;
    use icl_numerics::tolerance::Tolerance;

    const D: usize = 3;

    fn problem() -> Problem {
        Problem::new(&Stream::new(0, "attention-layer/test"), 0, 5, D, Entries::Normal)
    }

    /// Linear attention whose map of inputs is `eta I` and whose values are the labels.
    fn step_layer(eta: f64) -> AttentionLayer {
        let width = D + 1;
        let entry = |ij: usize| if ij / width == ij % width && ij / width < D { eta } else { 0.0 };
        let c = (0..width * width).map(entry).collect();
        AttentionLayer { heads: vec![Head { b: vec![0.0, 0.0, 0.0, 1.0], c }], linear: true }
    }

    fn step(eta: f64) -> f64 {
        Predictor::Descent { steps: 1, eta, gamma: 0.0 }.predict(&problem())
    }

    fn assert_close(got: f64, want: f64, what: &str) {
        Tolerance::roundoff_f64(100).assert_close(got, want, want.abs(), what);
    }

    #[test]
    fn linear_attention_with_those_weights_is_one_gradient_step() {
        assert_close(step_layer(0.3).predict(&problem()), step(0.3), "step");
    }

    #[test]
    fn weights_move_from_the_layers_own_to_those_of_the_step() {
        let mut own = step_layer(0.3);
        // values twice, map half and with entries of its own: the same layer but for them
        own.heads[0].b = vec![0.2, -0.4, 0.0, 2.0];
        own.heads[0].c.iter_mut().enumerate().for_each(|(i, c)| *c = 0.5 * *c + 0.01 * i as f64);
        let at = |share: f64| own.towards_gradient_step(share, 0.7).predict(&problem());
        assert_close(at(0.0), own.predict(&problem()), "own");
        assert_close(at(1.0), step(0.7), "step");
        assert!((at(0.5) - at(0.0)).abs() > 1e-3 && (at(0.5) - at(1.0)).abs() > 1e-3);
    }

    #[test]
    fn the_learned_step_is_the_mean_of_the_diagonal_and_the_rest_its_deviation() {
        let mut layer = step_layer(0.3);
        // the factor between values and map does not matter
        layer.heads[0].b[D] = 4.0;
        layer.heads[0].c.iter_mut().for_each(|c| *c /= 4.0);
        let [eta, deviation] = layer.learned_step();
        assert_close(eta, 0.3, "eta");
        assert!(deviation < 1e-15);
        // one more entry x beside the diagonal: |x| / (eta sqrt(d))
        layer.heads[0].c[1] = 0.6 / 4.0;
        assert_close(layer.learned_step()[1], 2.0 / 3.0_f64.sqrt(), "deviation");
    }

    #[test]
    fn softmax_without_a_map_averages_labels_and_heads_are_added() {
        let p = problem();
        let uniform = || Head { b: vec![0.0, 0.0, 0.0, 1.0], c: vec![0.0; (D + 1) * (D + 1)] };
        let heads = vec![uniform(), uniform()];
        let mean = order::mean(&p.y).unwrap();
        assert_close(AttentionLayer { heads, linear: false }.predict(&p), 2.0 * mean, "mean");
    }

    /// The definition, from the matrices: weights `exp(k_j . q / sqrt(d))` over the demonstrations.
    #[test]
    fn parameters_are_read_as_the_definition_says() {
        let prompt = PromptShape { n_demos: 5, d_t: D, d_s: 1 };
        let kernel = Kernel::SoftmaxWithoutQuery;
        let settings =
            TrainSettings { prompt, n_heads: 2, kernel, init_std: 0.8, ..TrainSettings::base() };
        let shape = LayerShape { d: D + 1, n_heads: 2 };
        let plain = attention::parse("plain").unwrap();
        let parameters = Parameters::initialised(shape, plain.as_ref(), 0.8, 3);
        let layer = AttentionLayer::new(&settings, &parameters).unwrap();
        let p = problem();
        let width = D + 1;
        let apply = |name: &str, head: usize, x: &[f64]| -> Vec<f64> {
            let w = &parameters.get(name).unwrap()[head * width * width..][..width * width];
            let row = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
            w.chunks_exact(width).map(row).collect()
        };
        let mut want = 0.0;
        for head in 0..2 {
            let query = apply("w_q", head, &[p.query.as_slice(), &[0.0]].concat());
            let (mut above, mut below) = (0.0, 0.0);
            for (x, y) in p.x.iter().zip(&p.y) {
                let token = [x.as_slice(), &[*y]].concat();
                let key = apply("w_k", head, &token);
                let logit: f64 = key.iter().zip(&query).map(|(k, q)| k * q).sum();
                let weight = math::exp(logit / (width as f64).sqrt());
                above += weight * apply("w_v", head, &token)[D];
                below += weight;
            }
            want += above / below;
        }
        assert_close(layer.predict(&p), want, "definition");
    }
}
