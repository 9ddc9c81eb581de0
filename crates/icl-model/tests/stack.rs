//! The fused stack against candle's automatic gradients, for every registered modification.
//!
//! Sizes are distinct primes, so that a transposition cannot pass.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use candle_core::{D, DType, Device, Tensor, Var};
use icl_model::adam::AdamSettings;
use icl_model::attention::{self, LayerShape, Modification, Parameters, Variable, Weights};
use icl_model::fused::{FusedStack, StackShape};
use icl_model::mask::Mask;
use icl_model::prompt::{PromptBatch, PromptSampler, PromptShape};
use icl_model::task::{self, Scale};
use icl_model::train::{Path, TrainSettings};
use icl_model::transformer::TransformerLayer;
use icl_model::transformer_train::{TransformerSettings, TransformerTrainer};
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::tolerance::Tolerance;
use std::sync::Arc;

const PROMPT: PromptShape = PromptShape { n_demos: 7, d_t: 3, d_s: 2 };
const N_PROMPTS: usize = 19;
const HIDDEN: usize = 11;
/// Layers, heads, residual paths.
const STACKS: [(usize, usize, bool); 3] = [(1, 1, false), (1, 2, true), (3, 2, true)];

fn specifications() -> impl Iterator<Item = String> {
    attention::ALL
        .iter()
        .flat_map(|entry| entry.examples.iter().map(|options| format!("{}:{options}", entry.id)))
}

fn batch() -> PromptBatch {
    let task = task::find("linear").unwrap();
    PromptSampler::new(task, Scale::Raw, PROMPT, 5, "stack", Isa::detect()).batch(0, N_PROMPTS)
}

/// Away from zero everywhere: biases too, so that every gradient is visible.
fn parameters(modification: &dyn Modification, layers: usize, n_heads: usize) -> Parameters {
    let d = PROMPT.d();
    let projection = [n_heads, d, d];
    let layer = |layer: usize| {
        let attention = ["w_q", "w_k", "w_v"].map(|name| Variable::new(name, &projection, 0.4));
        let feed_forward = [
            Variable::new("w_1", &[HIDDEN, d], 0.4),
            Variable::new("b_1", &[HIDDEN], 0.4),
            Variable::new("w_2", &[d, HIDDEN], 0.4),
            Variable::new("b_2", &[d], 0.4),
        ];
        let own = modification.variables(d).into_iter().map(|v| Variable { initial_sd: 0.4, ..v });
        let all = attention.into_iter().chain(own).chain(feed_forward);
        all.map(|v| Variable { name: format!("{layer}.{}", v.name), ..v }).collect::<Vec<_>>()
    };
    Parameters::from_variables((0..layers).flat_map(layer).collect(), 3)
}

/// Loss of the batch by candle operations in `f64`, from packed parameters.
fn loss(
    modification: &Arc<dyn Modification>,
    template: &Parameters,
    (layers, n_heads, residual): (usize, usize, bool),
    packed: &Tensor,
    batch: &PromptBatch,
) -> Tensor {
    let all = template.unpack(packed).unwrap();
    let mut tokens = batch.tokens_tensor(DType::F64, &Device::Cpu).unwrap();
    for layer in 0..layers {
        let prefix = format!("{layer}.");
        let own = |(name, x): (&String, &Tensor)| {
            name.strip_prefix(&prefix).map(|name| (name.to_owned(), x.clone()))
        };
        let weights: Weights = all.iter().filter_map(own).collect();
        let layer = TransformerLayer {
            shape: LayerShape { d: PROMPT.d(), n_heads },
            modification: Arc::clone(modification),
            weights,
            residual,
            layer_norm: None,
        };
        tokens = layer.forward(&tokens, PROMPT.n_demos, &Mask::None).unwrap();
    }
    let prediction = tokens.narrow(1, PROMPT.n_demos, 1).unwrap().squeeze(1).unwrap();
    let prediction = prediction.narrow(D::Minus1, PROMPT.d_t, PROMPT.d_s).unwrap();
    let target = batch.targets_tensor(DType::F64, &Device::Cpu).unwrap();
    let squares = (prediction - target).unwrap().sqr().unwrap().sum_all().unwrap();
    (squares * (0.5 / N_PROMPTS as f64)).unwrap()
}

#[test]
fn losses_and_gradients_agree_with_candles_in_f64() {
    let batch = batch();
    for specification in specifications() {
        let modification: Arc<dyn Modification> = attention::parse(&specification).unwrap().into();
        // some modifications exist as candle operations only
        let Some(fused) = modification.fused() else { continue };
        for stack in STACKS {
            let (layers, n_heads, residual) = stack;
            let template = parameters(modification.as_ref(), layers, n_heads);
            let packed = Tensor::new(template.packed(), &Device::Cpu).unwrap();
            let packed = Var::from_tensor(&packed.to_dtype(DType::F64).unwrap()).unwrap();
            let want = loss(&modification, &template, stack, packed.as_tensor(), &batch);
            let gradients = want.backward().unwrap();
            let gradient: Vec<f64> = gradients.get(packed.as_tensor()).unwrap().to_vec1().unwrap();

            let shape = StackShape { d: PROMPT.d(), n_heads, layers, residual };
            let fused = FusedStack::new(shape, fused, &template).unwrap();
            let isa = Isa::detect();
            let got = fused.loss_and_gradient(isa, template.packed(), &batch).unwrap();
            let found: Vec<f64> = got.gradient.iter().map(|g| f64::from(*g)).collect();
            // about 2 (d^2 + d hidden) dependent f32 operations a layer
            let tolerance = Tolerance::roundoff_f32(200 * layers);
            tolerance.assert_all_close(&found, &gradient, &format!("{specification} {stack:?}"));
            let want: f64 = want.to_scalar().unwrap();
            tolerance.assert_close(got.loss, want, want, &specification);
            let losses = fused.losses(isa, template.packed(), &batch).unwrap();
            let mean = losses.iter().sum::<f64>() / N_PROMPTS as f64;
            tolerance.assert_close(mean, want, want, &specification);
            for (variable, range) in template.ranges() {
                let largest = largest::magnitude(found[range].iter().copied());
                assert!(largest > 1e-6, "{specification}: no gradient for {}", variable.name);
            }
        }
    }
}

#[test]
fn instruction_sets_and_threads_give_the_same_bits() {
    let task = task::find("linear").unwrap();
    for specification in specifications() {
        let modification = attention::parse(&specification).unwrap();
        let Some(fused) = modification.fused() else { continue };
        let template = parameters(modification.as_ref(), 2, 2);
        let shape = StackShape { d: PROMPT.d(), n_heads: 2, layers: 2, residual: true };
        let stack = FusedStack::new(shape, fused, &template).unwrap();
        let run = |isa: Isa, threads: usize| {
            let sampler = PromptSampler::new(task, Scale::Raw, PROMPT, 5, "bits", isa);
            let batch = sampler.batch(0, 300);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| stack.loss_and_gradient(isa, template.packed(), &batch).unwrap())
        };
        let reference = run(Isa::Portable, 1);
        for isa in Isa::available() {
            for threads in [1, 7] {
                assert_eq!(run(isa, threads), reference, "{specification} {isa:?} {threads}");
            }
        }
    }
}

#[test]
fn too_few_demonstrations_for_the_negatives_are_refused_by_name() {
    let modification = attention::parse("negative:m=7,beta=0.5").unwrap();
    let template = parameters(modification.as_ref(), 1, 1);
    let shape = StackShape { d: PROMPT.d(), n_heads: 1, layers: 1, residual: true };
    let stack = FusedStack::new(shape, modification.fused().unwrap(), &template).unwrap();
    let error = stack.losses(Isa::detect(), template.packed(), &batch()).unwrap_err();
    assert!(error.to_string().contains("less than the 7 demonstrations"), "{error}");
}

/// Losses after training with both implementations from the same start, on the same prompts.
fn relative_losses(steps: usize, batch: usize, modification: &str) -> [f64; 2] {
    [Path::Fused, Path::Composite].map(|path| {
        let train = TrainSettings {
            modification: modification.into(),
            steps,
            batch,
            adam: AdamSettings { learning_rate: 1e-3, ..AdamSettings::default() },
            n_test: 1024,
            test_every: steps,
            path,
            ..TrainSettings::base()
        };
        let settings = TransformerSettings { train, layers: 2, hidden: 24, residual: true };
        let mut trainer = TransformerTrainer::new(settings, Isa::detect()).unwrap();
        trainer.run().unwrap();
        trainer.test().unwrap().relative()
    })
}

#[test]
fn both_implementations_take_the_same_first_steps() {
    // rounding differences of 1e-6 grow along the training; ten steps leave three digits and more
    for modification in ["plain", "combined:alpha=0.5,on=both,hidden=3,m=2,beta=0.25"] {
        let [fused, composite] = relative_losses(10, 64, modification);
        assert!((fused / composite - 1.0).abs() < 1e-4, "{modification}: {fused} {composite}");
    }
}

#[test]
#[ignore = "slow: 15 s"]
fn both_implementations_of_the_stack_train_to_the_same_test_loss() {
    let [fused, composite] = relative_losses(1000, 512, "plain");
    println!("two layers: fused {fused}, composite {composite}");
    assert!((fused / composite - 1.0).abs() < 1e-3, "{fused} {composite}");
}
