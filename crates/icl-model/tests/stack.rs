//! The fused stack against candle's automatic gradients, for every registered modification.
//!
//! Sizes are distinct primes, so that a transposition cannot pass.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use candle_core::{D, DType, Device, Tensor, Var};
use icl_model::adam::AdamSettings;
use icl_model::attention::{self, LayerShape, Modification, ParameterSpec, Parameters};
use icl_model::fused::{FusedStack, On, StackShape};
use icl_model::machine::Machine;
use icl_model::mask::Mask;
use icl_model::objective::Set;
use icl_model::prompt::{PromptBatch, PromptSampler, PromptShape};
use icl_model::reference::TransformerLayer;
use icl_model::settings::{Backend, StackSettings, TrainSettings};
use icl_model::task::{self, Scale};
use icl_model::trainer::Unkept;
use icl_model::training::StackTraining;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::threads::Threads;
use icl_numerics::tolerance::Tolerance;
use std::sync::Arc;

const PROMPT: PromptShape = PromptShape { n_demos: 7, d_t: 3, d_s: 2 };
const N_PROMPTS: usize = 19;
const D_FF: usize = 11;
/// Layers, heads, residual paths.
const STACKS: [(usize, usize, bool); 3] = [(1, 1, false), (1, 2, true), (3, 2, true)];

fn batch() -> PromptBatch {
    let task = task::find("linear").unwrap();
    PromptSampler::new(task, Scale::Raw, PROMPT, 5, "stack", Isa::detect()).batch(0, N_PROMPTS)
}

/// Away from zero everywhere: biases too, so that every gradient is visible.
fn parameters(modification: &dyn Modification, layers: usize, n_heads: usize) -> Parameters {
    let d = PROMPT.d();
    let projection = [n_heads, d, d];
    let layer = |layer: usize| {
        let attention =
            ["w_q", "w_k", "w_v"].map(|name| ParameterSpec::new(name, &projection, 0.4));
        let feed_forward = [
            ParameterSpec::new("w_1", &[D_FF, d], 0.4),
            ParameterSpec::new("b_1", &[D_FF], 0.4),
            ParameterSpec::new("w_2", &[d, D_FF], 0.4),
            ParameterSpec::new("b_2", &[d], 0.4),
        ];
        let own =
            modification.variables(d).into_iter().map(|v| ParameterSpec { init_std: 0.4, ..v });
        let all = attention.into_iter().chain(own).chain(feed_forward);
        all.map(|v| ParameterSpec { name: format!("{layer}.{}", v.name), ..v }).collect::<Vec<_>>()
    };
    Parameters::from_specs((0..layers).flat_map(layer).collect(), 3)
}

/// Loss of the batch by candle operations in `f64`, from packed parameters.
fn loss(
    modification: &Arc<dyn Modification>,
    template: &Parameters,
    (layers, n_heads, residual): (usize, usize, bool),
    packed: &Tensor,
    batch: &PromptBatch,
) -> Tensor {
    let all = template.unpack(packed, Isa::detect()).unwrap();
    let mut tokens = batch.tokens_tensor(DType::F64, &Device::Cpu).unwrap();
    for layer in 0..layers {
        let layer = TransformerLayer {
            shape: LayerShape { d: PROMPT.d(), n_heads },
            d_ff: D_FF,
            modification: Arc::clone(modification),
            weights: all.part(layer),
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
    for specification in attention::examples() {
        let modification: Arc<dyn Modification> = attention::parse(&specification).unwrap().into();
        // some modifications exist as candle operations only
        let Some(terms) = modification.terms() else { continue };
        for stack in STACKS {
            let (layers, n_heads, residual) = stack;
            let template = parameters(modification.as_ref(), layers, n_heads);
            let packed = Tensor::new(template.packed(), &Device::Cpu).unwrap();
            let packed = Var::from_tensor(&packed.to_dtype(DType::F64).unwrap()).unwrap();
            let want = loss(&modification, &template, stack, packed.as_tensor(), &batch);
            let gradients = want.backward().unwrap();
            let gradient: Vec<f64> = gradients.get(packed.as_tensor()).unwrap().to_vec1().unwrap();

            let shape = StackShape { d: PROMPT.d(), n_heads, layers, residual };
            let fused = FusedStack::new(shape, terms, &template).unwrap();
            let isa = Isa::detect();
            let on = On { isa, threads: &Threads::One };
            let got = fused.loss_and_gradient(on, template.packed(), &batch).unwrap();
            let found: Vec<f64> = got.gradient.iter().map(|g| f64::from(*g)).collect();
            // about 2 (d^2 + d hidden) dependent f32 operations a layer
            let tolerance = Tolerance::roundoff_f32(200 * layers);
            // variable by variable: each has a scale of its own
            for (variable, range) in template.ranges() {
                let name = format!("{specification} {stack:?} {}", variable.name);
                let (found, want) = (&found[range.clone()], &gradient[range]);
                tolerance.assert_all_close(found, want, &name);
                assert!(largest::magnitude(found.iter().copied()) > 1e-6, "{name}: no gradient");
            }
            let want: f64 = want.to_scalar().unwrap();
            tolerance.assert_close(got.loss, want, want, &specification);
            let rows = fused.predict_rows(on, template.packed(), &batch).unwrap();
            let targets = batch.target_rows();
            let squares =
                rows.iter().zip(&targets).map(|(a, b)| f64::from(a - b) * f64::from(a - b));
            let mean = squares.sum::<f64>() / 2.0 / N_PROMPTS as f64;
            tolerance.assert_close(mean, want, want, &specification);
        }
    }
}

#[test]
fn instruction_sets_and_threads_give_the_same_bits() {
    let task = task::find("linear").unwrap();
    for specification in attention::examples() {
        let modification = attention::parse(&specification).unwrap();
        let Some(terms) = modification.terms() else { continue };
        let template = parameters(modification.as_ref(), 2, 2);
        let shape = StackShape { d: PROMPT.d(), n_heads: 2, layers: 2, residual: true };
        let stack = FusedStack::new(shape, terms, &template).unwrap();
        let run = |isa: Isa, threads: &Threads| {
            let sampler = PromptSampler::new(task, Scale::Raw, PROMPT, 5, "bits", isa);
            let batch = sampler.batch(0, 300);
            stack.loss_and_gradient(On { isa, threads }, template.packed(), &batch).unwrap()
        };
        let reference = run(Isa::Portable, &Threads::One);
        for isa in Isa::available() {
            for threads in [Threads::One, Threads::new(7).unwrap()] {
                assert_eq!(run(isa, &threads), reference, "{specification} {isa:?}");
            }
        }
    }
}

#[test]
fn too_few_demonstrations_for_the_negatives_are_refused_by_name() {
    let modification = attention::parse("negative:m=7,beta=0.5").unwrap();
    let template = parameters(modification.as_ref(), 1, 1);
    let shape = StackShape { d: PROMPT.d(), n_heads: 1, layers: 1, residual: true };
    let stack = FusedStack::new(shape, modification.terms().unwrap(), &template).unwrap();
    let on = On { isa: Isa::detect(), threads: &Threads::One };
    let error = stack.predict_rows(on, template.packed(), &batch()).unwrap_err();
    assert!(error.to_string().contains("less than the 7 demonstrations"), "{error}");
}

/// Validation errors after training with both implementations from the same start, on the same prompts.
fn errors(steps: usize, batch: usize, modification: &str) -> [f64; 2] {
    [Backend::Fused, Backend::Reference].map(|backend| {
        let train = TrainSettings {
            modification: modification.into(),
            steps,
            batch,
            adam: AdamSettings { learning_rate: 1e-3, ..AdamSettings::default() },
            n_validation: 1024,
            validate_every: steps,
            backend,
            ..TrainSettings::base()
        };
        let settings = StackSettings { train, layers: 2, d_ff: 24, residual: true };
        let stack =
            StackTraining::new(settings, &Machine::cpu(Isa::detect(), Threads::One)).unwrap();
        let mut trainer = stack.trainer();
        trainer.run(&Unkept).unwrap();
        trainer.evaluate(Set::Validation, 1024).unwrap().nmse()
    })
}

#[test]
fn both_implementations_take_the_same_first_steps() {
    // rounding differences of 1e-6 grow along the training; ten steps leave three digits and more
    for modification in ["plain", "combined:alpha=0.5,on=both,hidden=3,m=2,beta=0.25"] {
        let [fused, reference] = errors(10, 64, modification);
        assert!((fused / reference - 1.0).abs() < 1e-4, "{modification}: {fused} {reference}");
    }
}

#[test]
#[ignore = "slow: 15 s"]
fn both_implementations_of_the_stack_train_to_the_same_test_loss() {
    let [fused, reference] = errors(1000, 512, "plain");
    println!("two layers: fused {fused}, reference {reference}");
    assert!((fused / reference - 1.0).abs() < 1e-3, "{fused} {reference}");
}
