//! Wrong duals of modified layers, a wrong activation pattern and a wrong closed form, against the identities that
//! must notice them.

use crate::cells::transformer::dual_weights;
use crate::views::modified::ModifiedDual;
use anyhow::Context as _;
use candle_core::{DType, Device, Tensor};
use dual_model::Matrix;
use dual_model::head::Head;
use dual_model::sequence::{Visibility, exact_predictions};
use dual_model::step_curve::mean_square_curve;
use dual_model::transformer::LayerWeights;
use icl_model::attention::{self, Augmentation, LayerShape, Negatives, Parameters, Rule, Steps};
use icl_model::device;
use icl_model::kernel::Kernel;
use icl_model::machine::Machine;
use icl_model::prompt::PromptShape;
use icl_model::reference::Layer;
use icl_model::settings::{StackSettings, TrainSettings};
use icl_model::training::StackTraining;
use icl_numerics::lanes::Isa;
use icl_numerics::stream::Stream;
use icl_numerics::threads::Threads;
use icl_numerics::{largest, order};

/// An identity, run on the unchanged dual or on a mutant.
pub(crate) struct Identity {
    /// What is computed.
    pub(crate) subject: &'static str,
    /// The mutant, or [`CONTROL`].
    pub(crate) mutant: &'static str,
    /// Largest difference of both sides, relative to the larger one's largest entry.
    pub(crate) value: f64,
    /// What the identity allows.
    pub(crate) bound: f64,
}

/// The unchanged dual.
pub(crate) const CONTROL: &str = "none";
/// Rounding of a few dozen operations in `f64`.
const BOUND: f64 = 1e-12;

const SHAPE: LayerShape = LayerShape { d: 5, n_heads: 2 };
const N: usize = 7;

/// Every identity with its control and its mutants.
pub(crate) fn identities() -> anyhow::Result<Vec<Identity>> {
    let mut all = modified_losses()?;
    all.extend(activation_pattern()?);
    all.extend(step_curve());
    Ok(all)
}

/// How a mutant changes the dual of a modified loss.
type Change = fn(&mut ModifiedDual);

/// Modification of attention, and the mutants of its dual.
const MODIFIED: [(&str, &[(&str, Change)]); 3] = [
    (
        "regularised:alpha=0.5",
        &[
            (CONTROL, |_| {}),
            ("alpha at every step", |dual| dual.terms.steps = Steps::Samples),
            ("alpha twice", |dual| dual.terms.alpha = 0.75),
            ("scores without the root of d", |dual| scale_queries(dual, (SHAPE.d as f64).sqrt())),
        ],
    ),
    (
        "augmented:form=mlp,on=both,c=0.5,hidden=3",
        &[
            (CONTROL, |_| {}),
            ("keys without g", |dual| dual.terms.keys = Augmentation::IDENTITY),
            ("values without g", |dual| dual.terms.values = Augmentation::IDENTITY),
            ("g of another strength", |dual| dual.terms.keys.scale = 0.51),
        ],
    ),
    (
        "negative:m=2,beta=0.5",
        &[
            (CONTROL, |_| {}),
            ("negatives of the highest scores", |dual| {
                change_negatives(dual, |of| Negatives { rule: Rule::Highest, ..of });
            }),
            ("one negative fewer", |dual| {
                change_negatives(dual, |of| Negatives { m: of.m - 1, ..of });
            }),
            ("beta not over m", |dual| {
                change_negatives(dual, |of| Negatives { beta: of.beta * of.m as f32, ..of });
            }),
        ],
    ),
];

fn scale_queries(dual: &mut ModifiedDual, factor: f64) {
    for head in &mut dual.heads {
        head.w_q.entries_mut().iter_mut().for_each(|w| *w *= factor);
    }
}

fn change_negatives(dual: &mut ModifiedDual, change: fn(Negatives) -> Negatives) {
    dual.terms.negatives = dual.terms.negatives.map(change);
}

fn normals(purpose: &str, n: usize) -> Vec<f64> {
    let stream = Stream::new(3, purpose);
    let mut draws = stream.sample(0);
    (0..n).map(|_| draws.normal()).collect()
}

/// Modified attention by candle and the dual trained on the modified loss.
fn modified_losses() -> anyhow::Result<Vec<Identity>> {
    let tokens = normals("mutants/tokens", (N + 1) * SHAPE.d);
    let tensor = Tensor::from_slice(&tokens, (1, N + 1, SHAPE.d), &Device::Cpu)?;
    let tokens = Matrix::new(N + 1, SHAPE.d, tokens)?;
    let mut all = Vec::new();
    for (subject, mutants) in MODIFIED {
        let modification = attention::parse(subject)?;
        let parameters = Parameters::initialised(SHAPE, modification.as_ref(), 0.6, 3);
        let weights = parameters.weights(DType::F64, device::Device::Cpu(Isa::detect()))?;
        let layer =
            Layer { shape: SHAPE, modification: modification.as_ref(), kernel: &Kernel::Softmax };
        let attention: Vec<f64> =
            layer.query_output(&weights, &tensor)?.flatten_all()?.to_vec1()?;
        let terms = modification.terms().context("a modification without a dual")?;
        for (mutant, change) in mutants {
            let mut dual = ModifiedDual::new(&parameters, SHAPE.d, terms)?;
            change(&mut dual);
            let value = relative(&dual.predict(&tokens, &Kernel::Softmax)?, &attention);
            all.push(Identity { subject, mutant, value, bound: BOUND });
        }
    }
    Ok(all)
}

fn relative(got: &[f64], want: &[f64]) -> f64 {
    largest::difference(got, want) / largest::magnitude(want.iter().copied())
}

/// A whole layer by candle and its dual, whose activation pattern is that of the query, or wrongly of the first token.
fn activation_pattern() -> anyhow::Result<[Identity; 2]> {
    let prompt = PromptShape { n_demos: N, d_t: SHAPE.d - 1, d_s: 1 };
    let train = TrainSettings { prompt, n_validation: 16, steps: 0, ..TrainSettings::base() };
    let settings = StackSettings { train, layers: 1, d_ff: 11, residual: false };
    let stack = StackTraining::new(settings, &Machine::cpu(Isa::detect(), Threads::One))?;
    let layers = stack.layers(stack.trainer().parameters(), DType::F64)?;
    let [layer] = &layers[..] else { anyhow::bail!("{} layers, expected one", layers.len()) };
    let validation = stack.validation(1);
    let tokens: Vec<f64> = validation.prompt(0).into_iter().map(f64::from).collect();
    let tensor = Tensor::from_slice(&tokens, (1, N + 1, SHAPE.d), &Device::Cpu)?;
    let output: Vec<f64> = layer.query_forward(&tensor)?.flatten_all()?.to_vec1()?;
    let tokens = Matrix::new(N + 1, SHAPE.d, tokens)?;
    let dual = dual_weights(layer)?;
    let right = dual.predict(&tokens, N, Visibility::All)?;
    let subject = "activation pattern";
    let identity = |mutant, value| Identity { subject, mutant, value, bound: BOUND };
    Ok([
        identity(CONTROL, relative(right.row(N), &output)),
        identity("pattern of another token", relative(&by_pattern_of(&dual, &tokens, 0)?, &output)),
    ])
}

/// `W_2 S (W_1 a + b_1) + b_2` for the last token's attention `a`, with the pattern `S` of token `other`.
fn by_pattern_of(layer: &LayerWeights, tokens: &Matrix, other: usize) -> anyhow::Result<Vec<f64>> {
    let mut attention = Matrix::zeros(tokens.rows(), tokens.columns());
    for matrices in &layer.heads {
        let head = Head::project(tokens, matrices)?;
        let out = exact_predictions(&head, N, Visibility::All)?;
        let entries = attention.entries_mut().iter_mut();
        entries.zip(out.entries()).for_each(|(sum, x)| *sum += x);
    }
    let hidden = |token: usize| -> anyhow::Result<Vec<f64>> {
        let inner = layer.w_1.apply(attention.row(token))?;
        Ok(inner.iter().zip(&layer.b_1).map(|(x, b)| x + b).collect())
    };
    let pattern = hidden(other)?;
    let masked = hidden(N)?.into_iter().zip(&pattern);
    let masked: Vec<f64> = masked.map(|(x, p)| if *p > 0.0 { x } else { 0.0 }).collect();
    let out = layer.w_2.apply(&masked)?;
    Ok(out.iter().zip(&layer.b_2).map(|(x, b)| x + b).collect())
}

/// The step curve's closed form and the mean over all orders of five increments; the mutant draws with replacement.
fn step_curve() -> [Identity; 2] {
    let increments: Vec<Vec<f64>> =
        normals("mutants/increments", 10).chunks(2).map(<[_]>::to_vec).collect();
    let n = increments.len();
    let mut sums = vec![0.0; n + 1];
    let mut orders = 0.0;
    permutations(&mut (0..n).collect::<Vec<_>>(), 0, &mut |order| {
        orders += 1.0;
        for (i, sum) in sums.iter_mut().enumerate() {
            let tail = |c: usize| order[i..].iter().map(|j| increments[*j][c]).sum::<f64>();
            *sum += order::sum_of_squares(&[tail(0), tail(1)]);
        }
    });
    let mean: Vec<f64> = sums.iter().map(|sum| sum / orders).collect();
    let closed = mean_square_curve(&increments);
    let total = |c: usize| increments.iter().map(|a| a[c]).sum::<f64>();
    let whole = order::sum_of_squares(&[total(0), total(1)]);
    // the closed form with N for N - 1
    let replaced = |(i, right): (usize, &f64)| {
        let r = (n - i) as f64 / n as f64;
        let certain = r * r * whole;
        certain + (right - certain) * (n - 1) as f64 / n as f64
    };
    let wrong: Vec<f64> = closed.iter().enumerate().map(replaced).collect();
    let subject = "step curve";
    let identity = |mutant, value| Identity { subject, mutant, value, bound: BOUND };
    [
        identity(CONTROL, relative(&closed, &mean)),
        identity("orders with replacement", relative(&wrong, &mean)),
    ]
}

/// Every order of `items` from place `from` on.
fn permutations(items: &mut [usize], from: usize, visit: &mut impl FnMut(&[usize])) {
    if from == items.len() {
        return visit(items);
    }
    for i in from..items.len() {
        items.swap(from, i);
        permutations(items, from + 1, visit);
        items.swap(from, i);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_pass_and_every_mutant_fails() {
        for Identity { subject, mutant, value, bound } in identities().unwrap() {
            assert_eq!(value <= bound, mutant == CONTROL, "{subject}: {mutant}: {value:e}");
        }
    }
}
