//! A trained layer over demonstrations only, evaluated in `f64` on regression problems of any kind.

use crate::regression::Problem;
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

/// The layer.
pub(crate) struct AttentionLayer {
    heads: Vec<Head>,
    linear: bool,
}

impl AttentionLayer {
    /// The layer of these settings with the given parameters; one target.
    pub(crate) fn new(settings: &TrainSettings, parameters: &Parameters) -> Self {
        let d = settings.prompt.d();
        let array = |name: &str, head: usize| -> Vec<f64> {
            let whole = parameters.get(name).unwrap_or(&[]);
            whole[head * d * d..(head + 1) * d * d].iter().map(|x| f64::from(*x)).collect()
        };
        let head = |head: usize| {
            let (q, k, v) = (array("w_q", head), array("w_k", head), array("w_v", head));
            let entry = |ij: usize| {
                let terms: Vec<f64> =
                    (0..d).map(|a| k[a * d + ij / d] * q[a * d + ij % d]).collect();
                order::sum(&terms) / (d as f64).sqrt()
            };
            Head { b: v[(d - 1) * d..].to_vec(), c: (0..d * d).map(entry).collect() }
        };
        Self {
            heads: (0..settings.n_heads).map(head).collect(),
            linear: settings.kernel == Kernel::Linear,
        }
    }

    /// Prediction for the query of `problem`.
    pub(crate) fn predict(&self, problem: &Problem) -> f64 {
        let tokens: Vec<Vec<f64>> =
            problem.x.iter().zip(&problem.y).map(|(x, y)| [x.as_slice(), &[*y]].concat()).collect();
        let query = [problem.query.as_slice(), &[0.0]].concat();
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
