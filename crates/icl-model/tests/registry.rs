//! Every registered modification, unasked: gradients, neutral settings, fused kernel against the reference, in the
//! figures' layer.
//!
//! Sizes are distinct primes, so that a transposition cannot pass.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use candle_core::{DType, Device, Tensor, Var};
use icl_model::attention::{self, Entry, LayerShape, Modification, Parameters};
use icl_model::fused::{FusedLayer, On};
use icl_model::kernel::{AttentionKernel, Kernel, KernelSettings};
use icl_model::mask::Mask;
use icl_model::prompt::{PromptBatch, PromptSampler, PromptShape};
use icl_model::reference::Layer;
use icl_model::task::{self, Scale};
use icl_numerics::finite_difference;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::threads::Threads;
use icl_numerics::tolerance::Tolerance;

const PROMPT: PromptShape = PromptShape { n_demos: 7, d_t: 3, d_s: 2 };
const N_PROMPTS: usize = 19;
const FEATURES: usize = 11;
/// Kernels with numbers of heads.
const KERNELS: [(KernelSettings, usize); 6] = [
    (Kernel::Softmax, 1),
    (Kernel::Positive(FEATURES), 1),
    (Kernel::Softmax, 2),
    (Kernel::Positive(FEATURES), 2),
    (Kernel::SoftmaxWithoutQuery, 1),
    (Kernel::Linear, 2),
];

fn on(isa: Isa, threads: &Threads) -> On<'_> {
    On { isa, threads }
}

fn settings() -> impl Iterator<Item = (&'static Entry, String)> {
    attention::ALL.iter().flat_map(|entry| {
        entry.examples.iter().map(move |options| (entry, format!("{}:{options}", entry.id)))
    })
}

fn sampler(purpose: &str, isa: Isa) -> PromptSampler {
    PromptSampler::new(task::find("linear").unwrap(), Scale::Raw, PROMPT, 5, purpose, isa)
}

fn batch() -> PromptBatch {
    sampler("registry", Isa::detect()).batch(0, N_PROMPTS)
}

fn parameters(modification: &dyn Modification, n_heads: usize) -> Parameters {
    let shape = LayerShape { d: PROMPT.d(), n_heads };
    let mut parameters = Parameters::initialised(shape, modification, 0.4, 3);
    // U starts small; away from zero every gradient is visible
    for (variable, range) in parameters.ranges() {
        if variable.name.split('.').next_back() == Some("u") {
            parameters.packed_mut()[range].iter_mut().for_each(|x| *x *= 10.0);
        }
    }
    parameters
}

/// Loss of the batch by candle operations, from packed parameters.
fn loss(
    modification: &dyn Modification,
    template: &Parameters,
    kernel: &AttentionKernel,
    n_heads: usize,
    packed: &Tensor,
    batch: &PromptBatch,
) -> Tensor {
    let shape = LayerShape { d: PROMPT.d(), n_heads };
    let layer = Layer { shape, modification, kernel };
    let weights = template.unpack(packed, Isa::detect()).unwrap();
    let tokens = batch.tokens_tensor(packed.dtype(), &Device::Cpu).unwrap();
    let out = layer.query_output(&weights, &tokens).unwrap();
    let prediction = out.narrow(1, PROMPT.d_t, PROMPT.d_s).unwrap();
    let target = batch.targets_tensor(packed.dtype(), &Device::Cpu).unwrap();
    let squares = (prediction - target).unwrap().sqr().unwrap().sum_all().unwrap();
    (squares * (0.5 / N_PROMPTS as f64)).unwrap()
}

/// The reference's gradient in `f64`, packed.
fn reference_gradient(
    modification: &dyn Modification,
    template: &Parameters,
    kernel: &AttentionKernel,
    n_heads: usize,
    batch: &PromptBatch,
) -> Vec<f64> {
    let packed = Tensor::new(template.packed(), &Device::Cpu).unwrap();
    let packed = Var::from_tensor(&packed.to_dtype(DType::F64).unwrap()).unwrap();
    let loss = loss(modification, template, kernel, n_heads, packed.as_tensor(), batch);
    let gradients = loss.backward().unwrap();
    gradients.get(packed.as_tensor()).unwrap().to_vec1().unwrap()
}

#[test]
fn every_variable_receives_a_gradient_that_agrees_with_central_differences() {
    let batch = batch();
    let tolerance = Tolerance::finite_difference(finite_difference::STEP);
    for (_, specification) in settings() {
        let modification = attention::parse(&specification).unwrap();
        for (kernel, n_heads) in KERNELS {
            let template = parameters(modification.as_ref(), n_heads);
            let kernel = kernel.drawn(2, PROMPT.d());
            let gradient =
                reference_gradient(modification.as_ref(), &template, &kernel, n_heads, &batch);
            let point: Vec<f64> = template.packed().iter().map(|x| f64::from(*x)).collect();
            let differences = finite_difference::gradient(
                |x| {
                    let packed = Tensor::new(x, &Device::Cpu).unwrap();
                    let m = modification.as_ref();
                    loss(m, &template, &kernel, n_heads, &packed, &batch).to_scalar().unwrap()
                },
                &point,
            );
            // a difference of losses is rounded at the size of the loss
            let packed = Tensor::new(point.as_slice(), &Device::Cpu).unwrap();
            let m = modification.as_ref();
            let size: f64 =
                loss(m, &template, &kernel, n_heads, &packed, &batch).to_scalar().unwrap();
            let both = [gradient.as_slice(), &differences];
            assert_close(&tolerance, &template, both, size, &specification);
        }
    }
}

#[test]
fn fused_losses_and_gradients_agree_with_the_reference_in_f64() {
    let batch = batch();
    // about 2 d^2 + d_r dependent f32 operations from a weight to the loss and back
    let tolerance = Tolerance::roundoff_f32(200);
    for (_, specification) in settings() {
        let modification = attention::parse(&specification).unwrap();
        // some modifications exist as candle operations only
        let Some(terms) = modification.terms() else { continue };
        let m = modification.as_ref();
        for (kernel, n_heads) in KERNELS {
            let template = parameters(m, n_heads);
            let kernel = kernel.drawn(2, PROMPT.d());
            let want = reference_gradient(m, &template, &kernel, n_heads, &batch);
            let layer = FusedLayer::new(PROMPT, n_heads, terms, kernel.clone(), &template).unwrap();
            let on = on(Isa::detect(), &Threads::One);
            let got = layer.loss_and_gradient(on, template.packed(), &batch);
            let gradient: Vec<f64> = got.gradient.iter().map(|g| f64::from(*g)).collect();
            assert_close(&tolerance, &template, [&gradient, &want], 0.0, &specification);
            let packed = Tensor::new(template.packed(), &Device::Cpu).unwrap();
            let packed = packed.to_dtype(DType::F64).unwrap();
            let loss: f64 =
                loss(m, &template, &kernel, n_heads, &packed, &batch).to_scalar().unwrap();
            tolerance.assert_close(got.loss, loss, loss, &specification);
            let sampler = sampler("registry", Isa::detect());
            assert_eq!(layer.sampled_gradient(on, template.packed(), &sampler, 0, N_PROMPTS), got);
        }
    }
}

/// Equality variable by variable, each on its own scale, which is at least `size`, and a gradient for every
/// variable.
fn assert_close(
    tolerance: &Tolerance,
    template: &Parameters,
    [got, want]: [&[f64]; 2],
    size: f64,
    name: &str,
) {
    for (variable, range) in template.ranges() {
        let name = format!("{name}: {}", variable.name);
        let scale = largest::magnitude(want[range.clone()].iter().copied());
        assert!(scale > 1e-6, "{name}: no gradient");
        for (got, want) in got[range.clone()].iter().zip(&want[range]) {
            tolerance.assert_close(*got, *want, largest::at_least(scale, size), &name);
        }
    }
}

fn forward(modification: &dyn Modification, template: &Parameters, mask: &Mask) -> Vec<f32> {
    let packed = Tensor::new(template.packed(), &Device::Cpu).unwrap();
    let weights = template.unpack(&packed, Isa::detect()).unwrap();
    let shape = LayerShape { d: PROMPT.d(), n_heads: 2 };
    let layer = Layer { shape, modification, kernel: &Kernel::Softmax };
    let tokens = batch().tokens_tensor(DType::F32, &Device::Cpu).unwrap();
    let attended = layer.forward(&weights, &tokens, PROMPT.n_demos, mask).unwrap();
    attended.output.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn neutral_settings_are_plain_bit_for_bit_on_both_paths() {
    let plain = attention::parse("plain").unwrap();
    let template = parameters(plain.as_ref(), 2);
    let batch = batch();
    let lanes = |modification: &dyn Modification| {
        let layer = FusedLayer::new(PROMPT, 2, modification.terms()?, Kernel::Softmax, &template);
        let on = on(Isa::detect(), &Threads::One);
        Some(layer.unwrap().predict(on, template.packed(), &batch))
    };
    for entry in attention::ALL {
        let neutral = attention::parse(&format!("{}:{}", entry.id, entry.neutral)).unwrap();
        let same = forward(plain.as_ref(), &template, &Mask::Causal);
        assert_eq!(forward(neutral.as_ref(), &template, &Mask::Causal), same, "{}", entry.id);
        if let Some(lanes_of_neutral) = lanes(neutral.as_ref()) {
            assert_eq!(Some(lanes_of_neutral), lanes(plain.as_ref()), "{}", entry.id);
        }
    }
}

#[test]
fn instruction_sets_and_threads_give_the_same_bits() {
    let task = task::find("exponential").unwrap();
    let pools = [Threads::One, Threads::new(2).unwrap(), Threads::new(7).unwrap()];
    for (_, specification) in settings() {
        let modification = attention::parse(&specification).unwrap();
        let Some(terms) = modification.terms() else { continue };
        let template = parameters(modification.as_ref(), 2);
        let kernel = Kernel::Positive(FEATURES).drawn(2, PROMPT.d());
        let layer = FusedLayer::new(PROMPT, 2, terms, kernel, &template).unwrap();
        let run = |isa: Isa, threads: &Threads| {
            let sampler = PromptSampler::new(task, Scale::Unit, PROMPT, 5, "bits", isa);
            layer.sampled_gradient(on(isa, threads), template.packed(), &sampler, 32, 300)
        };
        let reference = run(Isa::Portable, &Threads::One);
        for isa in Isa::available() {
            for threads in &pools {
                let n = threads.number();
                assert_eq!(run(isa, threads), reference, "{specification} {isa:?} {n}");
            }
        }
    }
}

#[test]
fn masked_keys_have_weight_zero_and_rows_sum_to_one() {
    let plain = attention::parse("plain").unwrap();
    let template = parameters(plain.as_ref(), 2);
    let packed = Tensor::new(template.packed(), &Device::Cpu).unwrap();
    let weights = template.unpack(&packed, Isa::detect()).unwrap();
    let tokens = batch().tokens_tensor(DType::F32, &Device::Cpu).unwrap();
    let lengths: Vec<usize> = (0..N_PROMPTS).map(|b| 1 + b % 8).collect();
    let masks = [
        Mask::None,
        Mask::Causal,
        Mask::PrefixLm(3),
        Mask::Padding(lengths.clone()),
        Mask::CausalPadding(lengths),
    ];
    for kernel in [Kernel::Softmax, Kernel::Positive(FEATURES)] {
        let kernel = kernel.drawn(2, PROMPT.d());
        let shape = LayerShape { d: PROMPT.d(), n_heads: 2 };
        let layer = Layer { shape, modification: plain.as_ref(), kernel: &kernel };
        for mask in &masks {
            let seen = |b: usize, i: usize, j: usize| match mask {
                Mask::None => true,
                Mask::Causal => j <= i,
                Mask::PrefixLm(n) => j < *n || j <= i,
                Mask::Padding(lengths) => j < lengths[b],
                Mask::CausalPadding(lengths) => j < lengths[b] && j <= i,
            };
            let attended = layer.forward(&weights, &tokens, PROMPT.n_demos, mask).unwrap();
            let p: Vec<f32> = attended.attention_weights.flatten_all().unwrap().to_vec1().unwrap();
            for (row, p) in p.chunks_exact(8).enumerate() {
                let (b, i) = (row / 16, row % 8);
                assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
                for (j, p) in p.iter().enumerate() {
                    assert_eq!(*p > 0.0, seen(b, i, j), "{mask:?} {b} {i} {j}");
                }
            }
        }
    }
}

/// candle 0.11 reads wrong rows for a transposed left-hand side times a broadcast right-hand side;
/// `ops::linear` makes it contiguous.
#[test]
fn linear_accepts_transposed_views() {
    let x = Tensor::arange(0.0_f32, 24.0, &Device::Cpu).unwrap().reshape((2, 3, 4)).unwrap();
    let w = Tensor::arange(0.0_f32, 15.0, &Device::Cpu).unwrap().reshape((5, 3)).unwrap();
    let view = x.transpose(1, 2).unwrap();
    let got = icl_model::ops::linear(&view, &w).unwrap();
    let got: Vec<Vec<Vec<f32>>> = got.to_vec3().unwrap();
    for b in 0..2 {
        for t in 0..4 {
            for o in 0..5 {
                let want: usize = (0..3).map(|i| (b * 12 + i * 4 + t) * (o * 3 + i)).sum();
                assert_eq!(got[b][t][o], want as f32);
            }
        }
    }
}
