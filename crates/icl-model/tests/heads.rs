//! Every registered modification in both conventions of heads, unasked: the figures' summed heads and PyTorch's
//! heads side by side share one core.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use candle_core::{D, DType, Device, Tensor, Var};
use icl_model::attention::{self, LayerShape, Modification, ParameterSpec, Parameters, Weights};
use icl_model::kernel::{AttentionKernel, Kernel};
use icl_model::mask::Mask;
use icl_model::reference::multi_head::Maps;
use icl_model::reference::{Demonstrations, Layer, MultiHead};
use icl_numerics::finite_difference;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::tolerance::Tolerance;
use std::sync::Arc;

const BATCH: usize = 3;
const N_TOKENS: usize = 7;
const N_DEMOS: usize = 5;
const HEADS: usize = 2;
const D_HEAD: usize = 3;
const D: usize = HEADS * D_HEAD;

fn masks() -> [Mask; 5] {
    [
        Mask::None,
        Mask::Causal,
        Mask::PrefixLm(4),
        Mask::Padding(vec![7, 6, 5]),
        Mask::CausalPadding(vec![5, 7, 6]),
    ]
}

fn tokens(d: usize) -> Tensor {
    let stream = Stream::new(8, "heads/tokens");
    let mut draws = stream.sample(0);
    let entries: Vec<f64> = (0..BATCH * N_TOKENS * d).map(|_| draws.normal()).collect();
    Tensor::from_vec(entries, (BATCH, N_TOKENS, d), &Device::Cpu).unwrap()
}

/// Variables of a layer with heads side by side, with every bias.
fn side_by_side(modification: &dyn Modification) -> Parameters {
    let map = |name: &str| {
        [
            ParameterSpec::new(format!("w_{name}"), &[D, D], 0.4),
            ParameterSpec::new(format!("b_{name}"), &[D], 0.4),
        ]
    };
    let own = modification.variables(D_HEAD).into_iter();
    let own = own.map(|spec| ParameterSpec { init_std: 0.4, ..spec });
    Parameters::from_specs(["q", "k", "v", "o"].into_iter().flat_map(map).chain(own).collect(), 3)
}

fn layer(
    n_heads: usize,
    kernel: &AttentionKernel,
    modification: &Arc<dyn Modification>,
    weights: Weights,
) -> MultiHead {
    let maps = Maps::new(D, &weights).unwrap();
    MultiHead::new(n_heads, maps, kernel.clone(), Arc::clone(modification), weights).unwrap()
}

const FIRST: Demonstrations = Demonstrations::First(N_DEMOS);

/// A scalar of the layer's output that weighs every entry differently.
fn objective(
    modification: &Arc<dyn Modification>,
    kernel: &AttentionKernel,
    (demonstrations, mask): (Demonstrations, &Mask),
    weights: Weights,
) -> Tensor {
    let layer = layer(HEADS, kernel, modification, weights);
    let output = layer.forward(&tokens(D), demonstrations, mask).unwrap().output;
    let n = BATCH * N_TOKENS * D;
    let factors: Vec<f64> = (0..n).map(|i| 1.0 + (i % 11) as f64 / 7.0).collect();
    let factors = Tensor::from_vec(factors, output.shape(), &Device::Cpu).unwrap();
    (output * factors).unwrap().sum_all().unwrap()
}

fn packed(parameters: &Parameters) -> Tensor {
    Tensor::new(parameters.packed(), &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
}

#[test]
fn heads_side_by_side_give_every_variable_a_gradient_that_agrees_with_central_differences() {
    let tolerance = Tolerance::finite_difference(finite_difference::STEP);
    for (i, specification) in attention::examples().enumerate() {
        let modification: Arc<dyn Modification> = attention::parse(&specification).unwrap().into();
        let template = side_by_side(modification.as_ref());
        let mask = &masks()[i % 5];
        for (kernel, demonstrations) in [
            (Kernel::Softmax, FIRST),
            (Kernel::Positive(11), FIRST),
            (Kernel::Softmax, Demonstrations::Others),
        ] {
            let kernel = kernel.drawn(2, D_HEAD);
            let scalar = |packed: &Tensor| {
                let weights = template.unpack(packed, Isa::detect()).unwrap();
                objective(&modification, &kernel, (demonstrations, mask), weights)
            };
            let var = Var::from_tensor(&packed(&template)).unwrap();
            let gradients = scalar(var.as_tensor()).backward().unwrap();
            let gradient: Vec<f64> = gradients.get(var.as_tensor()).unwrap().to_vec1().unwrap();
            let point: Vec<f64> = template.packed().iter().map(|x| f64::from(*x)).collect();
            let differences = finite_difference::gradient(
                |x| scalar(&Tensor::new(x, &Device::Cpu).unwrap()).to_scalar().unwrap(),
                &point,
            );
            // a difference is rounded at the size of what is differentiated
            let size: f64 = scalar(&packed(&template)).to_scalar::<f64>().unwrap().abs();
            let largest = |x: &[f64]| largest::magnitude(x.iter().copied());
            for (spec, range) in template.ranges() {
                let name = format!("{specification} {demonstrations:?} {mask:?} {}", spec.name);
                let (got, want) = (&gradient[range.clone()], &differences[range]);
                // a constant added to every key cancels in softmax, unless keys are changed after it
                if spec.name == "b_k" && kernel == Kernel::Softmax {
                    let pairs = got.iter().zip(want);
                    pairs.for_each(|(got, want)| tolerance.assert_close(*got, *want, size, &name));
                    continue;
                }
                tolerance.assert_all_close(got, want, &name);
                assert!(largest(got) > 1e-6, "{name}: no gradient");
            }
        }
    }
}

#[test]
fn one_head_side_by_side_is_the_figures_layer_with_one_head() {
    let tolerance = Tolerance::roundoff_f64(100);
    let shape = LayerShape { d: D, n_heads: 1 };
    for specification in attention::examples() {
        let modification: Arc<dyn Modification> = attention::parse(&specification).unwrap().into();
        let parameters = Parameters::initialised(shape, modification.as_ref(), 0.4, 3);
        let weights = parameters.unpack(&packed(&parameters), Isa::detect()).unwrap();
        for kernel in [Kernel::Softmax, Kernel::Linear, Kernel::Positive(11)] {
            let kernel = kernel.drawn(2, D);
            let layer = Layer { shape, modification: modification.as_ref(), kernel: &kernel };
            for mask in masks() {
                let want = layer.forward(&weights, &tokens(D), N_DEMOS, &mask).unwrap();
                let flat = parameters.ranges().into_iter().map(|(spec, range)| {
                    let shape = if spec.shape.len() == 3 { vec![D, D] } else { spec.shape };
                    let part = packed(&parameters).narrow(0, range.start, range.len()).unwrap();
                    (spec.name, part.reshape(shape).unwrap())
                });
                let flat = Weights::new(flat, DType::F64, &Device::Cpu, Isa::detect());
                let one = self::layer(1, &kernel, &modification, flat);
                let got = one.forward(&tokens(D), FIRST, &mask).unwrap();
                for (got, want) in
                    [(&got.output, &want.output), (&got.attention_weights, &want.attention_weights)]
                {
                    let entries = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                    let name = format!("{specification} {mask:?}");
                    tolerance.assert_all_close(&entries(got), &entries(want), &name);
                }
            }
        }
    }
}

/// With all others as demonstrations, every token is the query side of itself: the layer in which it stands last.
/// Negatives are left out: there, the query may be another's negative.
#[test]
fn all_others_as_demonstrations_are_the_first_ones_of_each_query_in_turn() {
    let tolerance = Tolerance::roundoff_f64(100);
    let rows = |x: &Tensor| x.to_vec3::<f64>().unwrap();
    for specification in attention::examples() {
        let modification: Arc<dyn Modification> = attention::parse(&specification).unwrap().into();
        if modification.needs_scores() {
            continue;
        }
        let template = side_by_side(modification.as_ref());
        let weights = template.unpack(&packed(&template), Isa::detect()).unwrap();
        let layer = layer(HEADS, &Kernel::Softmax, &modification, weights);
        let tokens = tokens(D);
        let all = layer.forward(&tokens, Demonstrations::Others, &Mask::None).unwrap();
        for i in 0..N_TOKENS {
            let order: Vec<u32> = (0..N_TOKENS as u32).filter(|j| *j != i as u32).collect();
            let order = Tensor::new([&order[..], &[i as u32]].concat(), &Device::Cpu).unwrap();
            let turned = tokens.index_select(&order, 1).unwrap();
            let first = Demonstrations::First(N_TOKENS - 1);
            let one = layer.forward(&turned, first, &Mask::None).unwrap();
            for (all, one) in rows(&all.output).iter().zip(rows(&one.output)) {
                let name = format!("{specification} query {i}");
                tolerance.assert_all_close(&all[i], &one[N_TOKENS - 1], &name);
            }
        }
    }
}

#[test]
fn neutral_settings_are_plain_bit_for_bit_with_heads_side_by_side() {
    let plain: Arc<dyn Modification> = attention::parse("plain").unwrap().into();
    let template = side_by_side(plain.as_ref());
    let weights = template.unpack(&packed(&template), Isa::detect()).unwrap();
    for entry in attention::ALL {
        let neutral = format!("{}:{}", entry.id, entry.neutral);
        let neutral: Arc<dyn Modification> = attention::parse(&neutral).unwrap().into();
        for mask in masks() {
            for demonstrations in [FIRST, Demonstrations::Others] {
                let [a, b] = [&plain, &neutral].map(|m| {
                    let kind = (demonstrations, &mask);
                    let value = objective(m, &Kernel::Softmax, kind, weights.clone());
                    value.to_scalar::<f64>().unwrap()
                });
                assert_eq!(a, b, "{} {demonstrations:?} {mask:?}", entry.id);
            }
        }
    }
}

#[test]
fn sizes_and_names_that_do_not_fit_are_refused() {
    let plain: Arc<dyn Modification> = attention::parse("plain").unwrap().into();
    let template = side_by_side(plain.as_ref());
    let weights = || template.unpack(&packed(&template), Isa::detect()).unwrap();
    let build = |d: usize, heads: usize, weights: Weights| {
        let maps = Maps::new(d, &weights)?;
        MultiHead::new(heads, maps, Kernel::Softmax, Arc::clone(&plain), weights)
    };
    let error = build(D, 4, weights()).unwrap_err().to_string();
    assert!(error.contains("n_heads") && error.contains("divisor of 6"), "{error}");
    let error = build(D + 2, 2, weights()).unwrap_err().to_string();
    assert!(error.contains("expected: [8, 8], got: [6, 6]"), "{error}");
    let error = build(D, HEADS, weights().part("layer")).unwrap_err().to_string();
    assert!(error.contains("layer.w_q"), "{error}");
    // rows of the weights sum to one
    let layer = build(D, HEADS, weights()).unwrap();
    let p = layer.forward(&tokens(D), FIRST, &Mask::Causal).unwrap().attention_weights;
    let sums = p.sum(D::Minus1).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-14));
}
