//! The dual of an attention layer with a modification: trained on the modified loss, from the layer's own numbers and
//! nothing that attention computed.

use crate::views::heads;
use anyhow::{Context as _, bail};
use dual_model::Matrix;
use dual_model::dual::KeyValue;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::Positive;
use dual_model::head::{Head, HeadMatrices};
use dual_model::modification::{
    ModifiedLoss, predict_after_full_batch_step, predict_after_sample_steps,
};
use icl_model::attention::{Augmentation, Form, Negatives, Parameters, Rule, Steps, Terms};
use icl_model::kernel::{AttentionKernel, Kernel};
use icl_numerics::{math, order};

/// `V` and `U` of `g(x) = x + c U gelu(V x)`.
type Map = [Matrix; 2];

/// The layer's matrices and the terms of its modification.
#[derive(Debug, Clone)]
pub(crate) struct ModifiedDual {
    /// One for every head.
    pub(crate) heads: Vec<HeadMatrices>,
    /// The modified loss.
    pub(crate) terms: Terms,
    keys: Option<Map>,
    values: Option<Map>,
}

impl ModifiedDual {
    /// The dual of a layer with parameters for tokens of size `d`.
    ///
    /// # Errors
    /// If a variable is missing.
    pub(crate) fn new(parameters: &Parameters, d: usize, terms: Terms) -> anyhow::Result<Self> {
        let matrix = |name: &str, rows: usize| -> anyhow::Result<Matrix> {
            let entries = parameters.get(name).with_context(|| format!("no `{name}`"))?;
            let entries: Vec<f64> = entries.iter().map(|x| f64::from(*x)).collect();
            Ok(Matrix::new(rows, entries.len() / rows, entries)?)
        };
        let map = |g: Augmentation, side: &str| -> anyhow::Result<Option<Map>> {
            let Form::Mlp { hidden } = g.form else { return Ok(None) };
            Ok(Some([matrix(&format!("{side}.v"), hidden)?, matrix(&format!("{side}.u"), d)?]))
        };
        Ok(Self {
            heads: heads::of_parameters(parameters, d)?,
            terms,
            keys: map(terms.keys, "g_keys")?,
            values: map(terms.values, "g_values")?,
        })
    }

    /// The prediction for the last of `tokens` `[tokens, d]`, heads summed.
    ///
    /// # Errors
    /// If sizes differ, or the kernel is not that of a dual with modified losses.
    pub(crate) fn predict(
        &self,
        tokens: &Matrix,
        kernel: &AttentionKernel,
    ) -> anyhow::Result<Vec<f64>> {
        let mut sum = vec![0.0; tokens.columns()];
        for matrices in &self.heads {
            let head = Head::project(tokens, matrices)?;
            let out = self.one(&head, kernel)?;
            sum.iter_mut().zip(out).for_each(|(sum, x)| *sum += x);
        }
        Ok(sum)
    }

    fn one(&self, head: &Head, kernel: &AttentionKernel) -> anyhow::Result<Vec<f64>> {
        let n = head.n_tokens() - 1;
        let (demonstrations, query) = (head.key_values(0..n), head.queries.row(n));
        let side = head.key_values(if kernel.sees_query() { n..n + 1 } else { 0..0 });
        let keys = |x: &[f64]| augment(self.terms.keys, self.keys.as_ref(), x);
        let values = |x: &[f64]| augment(self.terms.values, self.values.as_ref(), x);
        let sets = self.terms.negatives.map(|of| negatives(head, n, of));
        let beta = self.terms.negatives.map_or(0.0, |of| f64::from(of.beta));
        let loss = ModifiedLoss {
            alpha: f64::from(self.terms.alpha),
            keys: Some(&keys),
            values: Some(&values),
            negatives: sets.as_ref().map(|sets| (beta, sets.as_slice())),
        };
        let pairs = (demonstrations.as_slice(), side.as_slice());
        match (kernel, self.terms.steps) {
            (Kernel::Linear, _) => bail!("linear attention has no dual with modified losses"),
            (Kernel::Positive(omegas), steps) => {
                let map =
                    Positive::new(omegas.rows().chunks(omegas.d()).map(<[_]>::to_vec).collect());
                features(&map, &loss, pairs, query, steps)
            }
            (_, Steps::Batch) => Ok(predict_after_full_batch_step(&loss, pairs.0, pairs.1, query)?),
            (_, Steps::Samples) => Ok(predict_after_sample_steps(&loss, pairs.0, pairs.1, query)?),
        }
    }
}

/// The same training on features.
fn features(
    map: &Positive,
    loss: &ModifiedLoss<'_>,
    (demonstrations, side): (&[KeyValue<'_>], &[KeyValue<'_>]),
    query: &[f64],
    steps: Steps,
) -> anyhow::Result<Vec<f64>> {
    let owned = loss.training_pairs(demonstrations)?;
    let pairs: Vec<KeyValue<'_>> =
        owned.iter().map(|(key, value)| KeyValue { key, value }).collect();
    let mut dual = FeatureDual::initial(map, &pairs, side, query)?;
    let keep = 1.0 - loss.alpha;
    if steps == Steps::Batch {
        dual.scale(keep);
    }
    for pair in pairs {
        if steps == Steps::Samples {
            dual.scale(keep);
        }
        dual.step(pair)?;
    }
    Ok(dual.predict(query)?)
}

/// `N(i)` of the first `n` tokens, by sorting.
fn negatives(head: &Head, n: usize, of: Negatives) -> Vec<Vec<usize>> {
    let rank = |i: usize, j: usize| match of.rule {
        Rule::Lowest => order::dot(head.queries.row(i), head.keys.row(j)),
        Rule::Highest => -order::dot(head.queries.row(i), head.keys.row(j)),
        Rule::Next | Rule::All => ((j + n - i) % n) as f64,
    };
    let set = |i: usize| {
        let mut others: Vec<(f64, usize)> =
            (0..n).filter(|j| *j != i).map(|j| (rank(i, j), j)).collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.truncate(of.count(n));
        others.into_iter().map(|(_, j)| j).collect()
    };
    (0..n).map(set).collect()
}

/// `g(x)`.
fn augment(g: Augmentation, map: Option<&Map>, x: &[f64]) -> Vec<f64> {
    let c = f64::from(g.scale);
    match (g.form, map) {
        (Form::Elementwise, _) => x.iter().map(|x| x + c * math::tanh(*x)).collect(),
        (Form::Mlp { .. }, Some([v, u])) => {
            let inner: Vec<f64> = v.iter_rows().map(|row| gelu(order::dot(row, x))).collect();
            x.iter().zip(u.iter_rows()).map(|(x, row)| x + c * order::dot(row, &inner)).collect()
        }
        _ => x.to_vec(),
    }
}

/// The formula of [`icl_model::attention`]'s augmentations.
fn gelu(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    x * (1.0 + math::tanh(inner)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};
    use icl_model::attention::{self, LayerShape};
    use icl_model::device;
    use icl_model::reference::Layer;
    use icl_numerics::lanes::Isa;
    use icl_numerics::largest;
    use icl_numerics::stream::Stream;

    const D: usize = 5;
    const N: usize = 6;

    /// Largest difference of the dual from candle's layer, for the modification that attention has and the terms of
    /// the one that the dual has.
    fn difference(of_attention: &str, of_dual: &str, kernel: &AttentionKernel) -> f64 {
        let shape = LayerShape { d: D, n_heads: 2 };
        let modification = attention::parse(of_attention).unwrap();
        let parameters = Parameters::initialised(shape, modification.as_ref(), 0.6, 4);
        let stream = Stream::new(2, "modified/tokens");
        let mut draws = stream.sample(0);
        let tokens: Vec<f64> = (0..(N + 1) * D).map(|_| draws.normal()).collect();
        let device = device::Device::Cpu(Isa::detect());
        let weights = parameters.weights(DType::F64, device).unwrap();
        let tensor = Tensor::from_slice(&tokens, (1, N + 1, D), &Device::Cpu).unwrap();
        let layer = Layer { shape, modification: modification.as_ref(), kernel };
        let want: Vec<Vec<f64>> = layer.query_output(&weights, &tensor).unwrap().to_vec2().unwrap();
        let terms = attention::parse(of_dual).unwrap().terms().unwrap();
        let dual = ModifiedDual::new(&parameters, D, terms).unwrap();
        let tokens = Matrix::new(N + 1, D, tokens).unwrap();
        largest::difference(&dual.predict(&tokens, kernel).unwrap(), &want[0])
    }

    #[test]
    fn every_modification_has_its_dual_for_every_kernel_that_has_one() {
        for kernel in [Kernel::Softmax, Kernel::SoftmaxWithoutQuery, Kernel::Positive(7)] {
            let kernel = kernel.drawn(3, D);
            for entry in attention::ALL {
                for options in entry.examples {
                    let name = format!("{}:{options}", entry.id);
                    assert!(difference(&name, &name, &kernel) < 1e-12, "{name} {kernel:?}");
                }
            }
        }
        assert!(difference("regularised:alpha=0.5", "plain", &Kernel::Softmax) > 1e-3);
        let (lowest, highest) = ("negative:m=1,beta=1", "negative:m=1,beta=1,rule=highest");
        assert!(difference(lowest, highest, &Kernel::Softmax) > 1e-3);
    }
}
