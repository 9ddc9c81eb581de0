//! `icl lens`: the dual-model view of a user's own attention layer.

use super::Outcome;
use crate::cli::{LensArguments, LensDtype, LensFeatureMap, LensMask};
use crate::console::say;
use crate::tensor_file::{Array, TensorFile, write_tensors};
use anyhow::{bail, ensure};
use candle_core::{DType, Device, Tensor};
use dual_model::dual::Pair;
use dual_model::feature_map::{self, FeatureMap, Taylor, squared_sum};
use dual_model::sequence::Visibility;
use dual_model::shared::{FeatureState, SharedDual};
use dual_model::{Matrix, Real};
use icl_model::mask::Mask;
use icl_model::multi_head::{Linear, MultiHeadAttention};
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde_json::json;

/// Runs the command.
pub(crate) fn lens(arguments: &LensArguments) -> anyhow::Result<Outcome> {
    match arguments.dtype {
        LensDtype::F64 => run::<f64>(arguments, DType::F64),
        LensDtype::F32 => run::<f32>(arguments, DType::F32),
    }
}

/// An affine map of the user's layer.
struct Affine {
    weight: Array,
    bias: Option<Array>,
}

/// The user's layer and tokens.
struct Input {
    tokens: Array,
    batch: usize,
    n_tokens: usize,
    d: usize,
    n_heads: usize,
    n_demos: usize,
    query: Affine,
    key: Affine,
    value: Affine,
    output: Option<Affine>,
    /// Whether the tokens came with a batch axis.
    batched: bool,
}

const WEIGHTS: [&str; 8] = ["w_q", "w_k", "w_v", "b_q", "b_k", "b_v", "w_o", "b_o"];

fn read(arguments: &LensArguments) -> anyhow::Result<Input> {
    let file = TensorFile::read(&arguments.tokens)?;
    file.only(&["tokens"])?;
    let tokens = file.array("tokens", "[T, d] or [B, T, d]")?;
    let (batch, n_tokens, d) = match *tokens.shape.as_slice() {
        [t, d] => (1, t, d),
        [b, t, d] => (b, t, d),
        _ => return Err(file.refuse("tokens", &tokens.shape, "[T, d] or [B, T, d]")),
    };
    if batch * n_tokens * d == 0 {
        return Err(file.refuse("tokens", &tokens.shape, "no axis of length 0"));
    }
    let weights = TensorFile::read(&arguments.weights)?;
    weights.only(&WEIGHTS)?;
    let affine = |side: &str| -> anyhow::Result<Affine> {
        let weight = weights.shaped(&format!("w_{side}"), &[d, d])?;
        Ok(Affine { weight, bias: weights.optional(&format!("b_{side}"), &[d])? })
    };
    let output = if weights.has("w_o") {
        Some(affine("o")?)
    } else {
        ensure!(
            !weights.has("b_o"),
            "{}: b_o: found without w_o, expected both or neither; add w_o or leave b_o out",
            arguments.weights.display()
        );
        None
    };
    let n_heads = arguments.heads;
    if n_heads == 0 || !d.is_multiple_of(n_heads) {
        bail!(
            "--heads: found {n_heads}, expected a divisor of d = {d}, the size of a token; choose one"
        );
    }
    let n_demos = arguments.demos.unwrap_or(n_tokens.saturating_sub(1));
    if n_demos > n_tokens {
        bail!(
            "--demos: found {n_demos}, expected at most T = {n_tokens}, the number of tokens; lower it"
        );
    }
    let batched = tokens.shape.len() == 3;
    let (query, key, value) = (affine("q")?, affine("k")?, affine("v")?);
    Ok(Input { tokens, batch, n_tokens, d, n_heads, n_demos, query, key, value, output, batched })
}

/// Attention by the model crate: output `[B, T, d]` and weights `[B, H, T, T]`.
fn attend(input: &Input, mask: &Mask, dtype: DType) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let tensor = |array: &Array, shape: &[usize]| -> anyhow::Result<Tensor> {
        Ok(Tensor::from_slice(&array.values, shape, &Device::Cpu)?.to_dtype(dtype)?)
    };
    let linear = |affine: &Affine| -> anyhow::Result<Linear> {
        let weight = tensor(&affine.weight, &affine.weight.shape)?;
        let bias = affine.bias.as_ref().map(|bias| tensor(bias, &bias.shape)).transpose()?;
        Ok(Linear { weight, bias })
    };
    let layer = MultiHeadAttention {
        n_heads: input.n_heads,
        query: linear(&input.query)?,
        key: linear(&input.key)?,
        value: linear(&input.value)?,
        output: input.output.as_ref().map(linear).transpose()?,
    };
    let tokens = tensor(&input.tokens, &[input.batch, input.n_tokens, input.d])?;
    let out = layer.forward(&tokens, mask)?;
    let flat = |x: &Tensor| -> anyhow::Result<Vec<f64>> {
        Ok(x.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    };
    Ok((flat(&out.output)?, flat(&out.attention_weights)?))
}

/// One head of one sequence in the precision of the run.
struct HeadView<R> {
    keys: Matrix<R>,
    queries: Matrix<R>,
    values: Matrix<R>,
}

impl Affine {
    /// `scale (x W^T + b)`, the rows of head `h`, for every token.
    fn project<R: Real>(
        &self,
        tokens: &[f64],
        d: usize,
        rows: std::ops::Range<usize>,
        scale: f64,
    ) -> anyhow::Result<Matrix<R>> {
        let round = |x: &[f64]| x.iter().map(|x| R::from_f64(*x)).collect::<Vec<R>>();
        let weight = round(&self.weight.values);
        let bias = self.bias.as_ref().map(|bias| round(&bias.values));
        let scale = R::from_f64(scale);
        let mut entries = Vec::new();
        for token in tokens.chunks_exact(d) {
            let token = round(token);
            for row in rows.clone() {
                let mut y = R::dot(&weight[row * d..(row + 1) * d], &token);
                if let Some(bias) = &bias {
                    y += bias[row];
                }
                entries.push(scale * y);
            }
        }
        Ok(Matrix::new(tokens.len() / d, rows.len(), entries)?)
    }
}

impl Input {
    fn sequence(&self, b: usize) -> &[f64] {
        let n = self.n_tokens * self.d;
        &self.tokens.values[b * n..(b + 1) * n]
    }

    fn view<R: Real>(&self, b: usize, head: usize) -> anyhow::Result<HeadView<R>> {
        let d_h = self.d / self.n_heads;
        let rows = head * d_h..(head + 1) * d_h;
        let scale = 1.0 / (d_h as f64).sqrt().sqrt();
        let tokens = self.sequence(b);
        Ok(HeadView {
            keys: self.key.project(tokens, self.d, rows.clone(), scale)?,
            queries: self.query.project(tokens, self.d, rows.clone(), scale)?,
            values: self.value.project(tokens, self.d, rows, 1.0)?,
        })
    }
}

/// The dual's prediction for every query: one set of coefficients, trained on the query side (`W_0`) and
/// then, step by step, on the demonstrations; under the causal mask a query sees the steps before it.
fn exact<R: Real>(head: &HeadView<R>, visibility: Visibility) -> anyhow::Result<Matrix<R>> {
    let mut dual = SharedDual::new(head.keys.columns(), head.values.columns());
    for (key, value) in head.keys.iter_rows().zip(head.values.iter_rows()) {
        dual.step(Pair { key, value })?;
    }
    Ok(dual.predict_all(&head.queries, visibility)?)
}

/// The same with features.
fn featured(
    head: &HeadView<f64>,
    map: &dyn FeatureMap,
    visibility: Visibility,
) -> anyhow::Result<Matrix> {
    let mut state = FeatureState::new(map, head.keys.columns(), head.values.columns());
    let n = head.keys.rows();
    let mut taken = 0;
    let mut rows = Vec::with_capacity(n);
    for i in 0..n {
        while taken < visibility.end(i, n) {
            state.step(Pair { key: head.keys.row(taken), value: head.values.row(taken) })?;
            taken += 1;
        }
        rows.push(state.predict(head.queries.row(i))?);
    }
    Ok(Matrix::from_rows(rows.iter().map(Vec::as_slice))?)
}

/// The map asked for; `favor++` is tuned to this head's mean `|q + k|^2`.
fn map(
    arguments: &LensArguments,
    name: LensFeatureMap,
    head: &HeadView<f64>,
) -> anyhow::Result<Box<dyn FeatureMap>> {
    let d = head.keys.columns();
    if name == LensFeatureMap::Taylor {
        let fits = |p: &usize| Taylor::new(d, *p).len() <= arguments.d_r;
        let order = (0..=20).take_while(fits).last().unwrap_or(0);
        return Ok(Box::new(Taylor::new(d, order)));
    }
    let all: Vec<f64> = head
        .queries
        .iter_rows()
        .flat_map(|q| head.keys.iter_rows().map(move |k| squared_sum(q, k)))
        .collect();
    let z = largest::at_least(order::mean(&all).unwrap_or(1.0), 1e-12);
    let stream = Stream::new(arguments.seed, "lens/features");
    Ok(feature_map::random(name.name(), &stream, arguments.d_r, d, z)?)
}

/// What the run found, `[B, T, d]` and `[B, H, T, T]`.
struct Found {
    dual: Vec<f64>,
    contributions: Vec<f64>,
}

fn explain<R: Real>(
    arguments: &LensArguments,
    input: &Input,
    weights: &[f64],
    visibility: Visibility,
) -> anyhow::Result<Found> {
    let (n, d, d_h) = (input.n_tokens, input.d, input.d / input.n_heads);
    let mut joined = vec![0.0; input.batch * n * d];
    let mut contributions = Vec::with_capacity(weights.len());
    for b in 0..input.batch {
        for h in 0..input.n_heads {
            let head = input.view::<R>(b, h)?;
            let predicted: Vec<f64> = if arguments.feature_map == LensFeatureMap::Exact {
                exact(&head, visibility)?.entries().iter().map(|x| x.to_f64()).collect()
            } else {
                let wide = input.view::<f64>(b, h)?;
                let map = map(arguments, arguments.feature_map, &wide)?;
                featured(&wide, map.as_ref(), visibility)?.entries().to_vec()
            };
            for (i, row) in predicted.chunks_exact(d_h).enumerate() {
                let start = (b * n + i) * d + h * d_h;
                joined[start..start + d_h].copy_from_slice(row);
            }
            let norms: Vec<f64> =
                head.values.iter_rows().map(|v| R::dot(v, v).to_f64().sqrt()).collect();
            let own = &weights[(b * input.n_heads + h) * n * n..][..n * n];
            contributions.extend(own.iter().enumerate().map(|(ij, w)| w * norms[ij % n]));
        }
    }
    let dual = match &input.output {
        Some(output) => {
            let all: Matrix<R> = output.project(&joined, d, 0..d, 1.0)?;
            all.entries().iter().map(|x| x.to_f64()).collect()
        }
        None => joined,
    };
    Ok(Found { dual, contributions })
}

fn run<R: Real>(arguments: &LensArguments, dtype: DType) -> anyhow::Result<Outcome> {
    let input = read(arguments)?;
    let (mask, visibility) = match arguments.mask {
        LensMask::None => (Mask::None, Visibility::All),
        LensMask::Causal => (Mask::Causal, Visibility::Causal),
    };
    let (attention, weights) = attend(&input, &mask, dtype)?;
    let found = explain::<R>(arguments, &input, &weights, visibility)?;
    let largest = largest::magnitude(attention.iter().copied());
    let absolute = largest::difference(&attention, &found.dual);
    let relative = if largest > 0.0 { absolute / largest } else { absolute };
    let bound = if dtype == DType::F64 { 1e-12 } else { 1e-5 };
    let is_exact = arguments.feature_map == LensFeatureMap::Exact;
    if let Some(path) = &arguments.out {
        let (b, n, d, h) = (input.batch, input.n_tokens, input.d, input.n_heads);
        let lead = |rest: &[usize]| {
            if input.batched { [&[b], rest].concat() } else { rest.to_vec() }
        };
        let arrays = [
            ("attention", lead(&[n, d]), attention.as_slice()),
            ("dual", lead(&[n, d]), &found.dual),
            ("attention_weights", lead(&[h, n, n]), &weights),
            ("contributions", lead(&[h, n, n]), &found.contributions),
        ];
        write_tensors(path, &arrays, dtype == DType::F64)?;
    }
    let assumed = assumptions(arguments, &input);
    if arguments.json {
        let record = json!({
            "largest_absolute_difference": absolute,
            "largest_relative_difference": relative,
            "bound": is_exact.then_some(bound),
            "tokens": input.n_tokens, "d": input.d, "heads": input.n_heads,
            "batch": input.batch, "demonstrations": input.n_demos,
            "dtype": if dtype == DType::F64 { "f64" } else { "f32" },
            "feature_map": arguments.feature_map.name(),
            "assumed": assumed,
        });
        say!("{record:#}");
    } else {
        say!("largest difference {absolute:.3e}, relative to the largest output {relative:.3e}");
        assumed.iter().for_each(|line| say!("assumed: {line}"));
    }
    let holds = !is_exact || relative <= bound;
    Ok(if holds { Outcome::Reproduced } else { Outcome::Differs })
}

fn assumptions(arguments: &LensArguments, input: &Input) -> Vec<String> {
    let mut lines = vec![
        "y = x Wᵀ + b; head h takes rows h d/H .. (h+1) d/H; scores divided by sqrt(d/H)"
            .to_owned(),
        format!(
            "the first {} of {} tokens are demonstrations, the others the query side; one set of \
             coefficients (constant channel) serves all queries",
            input.n_demos, input.n_tokens
        ),
        "differences are relative to the largest magnitude of the attention's output".to_owned(),
    ];
    if input.output.is_none() {
        lines.push("no w_o: heads side by side are the output".to_owned());
    }
    if arguments.feature_map != LensFeatureMap::Exact {
        lines.push(format!(
            "features: {} of at most {} features, seed {}, in f64; the dual then approximates softmax",
            arguments.feature_map.name(),
            arguments.d_r,
            arguments.seed
        ));
    }
    lines
}
