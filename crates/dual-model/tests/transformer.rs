//! Duals of layers and stacks against candle's forward pass.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

mod places;

use candle_core::{DType, Tensor};
use dual_model::head::HeadMatrices;
use dual_model::sequence::Visibility;
use dual_model::transformer::{LayerWeights, predict_stack};
use dual_model::{Matrix, Real};
use icl_model::attention::{LayerShape, Weights};
use icl_model::mask::Mask;
use icl_model::reference::TransformerLayer;
use icl_model::reference::transformer::forward_stack;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::tolerance::Tolerance;
use places::everywhere;

const D: usize = 7;
const HIDDEN: usize = 13;
const HEADS: usize = 2;
const TOKENS: usize = 11;

fn normals(seed: u64, purpose: &str, n: usize, sd: f64) -> Vec<f64> {
    let stream = Stream::new(seed, purpose);
    let mut draws = stream.sample(0);
    (0..n).map(|_| sd * draws.normal()).collect()
}

/// Arrays of one layer by name, with their shapes.
fn arrays(layer: usize) -> Vec<(&'static str, Vec<usize>, Vec<f64>)> {
    let seed = layer as u64;
    let array = |name: &'static str, shape: &[usize], sd: f64| {
        (name, shape.to_vec(), normals(seed, name, shape.iter().product(), sd))
    };
    let sd = 1.0 / (D as f64).sqrt();
    vec![
        array("w_q", &[HEADS, D, D], sd),
        array("w_k", &[HEADS, D, D], sd),
        array("w_v", &[HEADS, D, D], sd),
        array("w_1", &[HIDDEN, D], sd),
        array("b_1", &[HIDDEN], 0.3),
        array("w_2", &[D, HIDDEN], 1.0 / (HIDDEN as f64).sqrt()),
        array("b_2", &[D], 0.3),
    ]
}

fn dual_layer<R: Real>(layer: usize, residual: bool, norm: bool) -> LayerWeights<R> {
    let arrays = arrays(layer);
    let get = |name: &str| &arrays.iter().find(|(n, ..)| *n == name).unwrap().2;
    let round = |x: &[f64]| x.iter().map(|x| R::from_f64(*x)).collect::<Vec<_>>();
    let matrix = |name: &str, rows, columns| Matrix::new(rows, columns, round(get(name))).unwrap();
    let head =
        |name: &str, h: usize| Matrix::new(D, D, round(&get(name)[h * D * D..][..D * D])).unwrap();
    let heads = (0..HEADS)
        .map(|h| HeadMatrices { w_q: head("w_q", h), w_k: head("w_k", h), w_v: head("w_v", h) })
        .collect();
    LayerWeights {
        heads,
        w_1: matrix("w_1", HIDDEN, D),
        b_1: round(get("b_1")),
        w_2: matrix("w_2", D, HIDDEN),
        b_2: round(get("b_2")),
        residual,
        layer_norm: norm.then(|| R::from_f64(1e-5)),
    }
}

fn candle_layer(layer: usize, residual: bool, norm: bool, dtype: DType) -> TransformerLayer {
    let tensor = |shape: Vec<usize>, values: Vec<f64>| {
        Tensor::from_vec(values, shape, &places::device()).unwrap().to_dtype(dtype).unwrap()
    };
    let tensors = arrays(layer).into_iter();
    let tensors = tensors.map(|(name, shape, x)| (name.to_owned(), tensor(shape, x)));
    let weights = Weights::new(tensors, dtype, &places::device(), Isa::Portable);
    let shape = LayerShape { d: D, n_heads: HEADS };
    TransformerLayer {
        shape,
        d_ff: HIDDEN,
        modification: icl_model::attention::parse("plain").unwrap().into(),
        weights,
        residual,
        layer_norm: norm.then_some(1e-5),
    }
}

/// Largest relative difference after every layer.
fn differences<R: Real>(depth: usize, residual: bool, norm: bool, causal: bool) -> Vec<f64> {
    let values = normals(99, "tokens", TOKENS * D, 1.0);
    let dtype = if R::EPSILON == f64::EPSILON { DType::F64 } else { DType::F32 };
    let tokens = Tensor::from_slice(&values, (1, TOKENS, D), &places::device()).unwrap();
    let tokens = tokens.to_dtype(dtype).unwrap();
    let (mask, visibility) =
        if causal { (Mask::Causal, Visibility::Causal) } else { (Mask::None, Visibility::All) };
    let layers: Vec<_> = (0..depth).map(|l| candle_layer(l, residual, norm, dtype)).collect();
    let theirs = forward_stack(&layers, &tokens, 8, &mask).unwrap();
    let layers: Vec<_> = (0..depth).map(|l| dual_layer::<R>(l, residual, norm)).collect();
    let rounded = values.iter().map(|x| R::from_f64(*x)).collect();
    let own = Matrix::new(TOKENS, D, rounded).unwrap();
    let ours = predict_stack(&layers, &own, 8, visibility).unwrap();
    let difference = |(ours, theirs): (&Matrix<R>, &Tensor)| {
        let theirs: Vec<f64> =
            theirs.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let scale = largest::magnitude(theirs.iter().copied());
        let gap = ours.entries().iter().zip(&theirs).map(|(a, b)| (a.to_f64() - b).abs());
        largest::value(gap) / scale
    };
    ours.iter().zip(&theirs).map(difference).collect()
}

#[test]
fn one_layer_equals_its_dual_with_and_without_residual_paths_and_norm() {
    for (residual, norm, causal) in
        [(false, false, false), (true, false, false), (true, true, false), (true, true, true)]
    {
        for (place, found) in everywhere(|| differences::<f64>(1, residual, norm, causal)[0]) {
            let tolerance = Tolerance::stated(1e-12, "rounding of one layer in f64");
            assert!(tolerance.accepts(found, 0.0, 1.0), "{place}: {found:e}");
        }
        for (place, found) in everywhere(|| differences::<f32>(1, residual, norm, causal)[0]) {
            let tolerance = Tolerance::stated(1e-5, "rounding of one layer in f32");
            assert!(tolerance.accepts(found, 0.0, 1.0), "{place}: {found:e}");
        }
    }
}

#[test]
fn stacks_of_twelve_layers_equal_their_composed_duals() {
    for causal in [false, true] {
        for (place, found) in everywhere(|| differences::<f64>(12, true, true, causal)) {
            assert!(found.iter().all(|x| *x <= 1e-10), "{place}: {found:?}");
        }
        for (place, found) in everywhere(|| differences::<f32>(12, true, true, causal)) {
            assert!(found.iter().all(|x| *x <= 1e-3), "{place}: {found:?}");
        }
    }
}

/// The steps of one query's dual end at the layer's output, whatever the order, and start from `W_0`.
#[test]
fn the_duals_steps_end_at_the_layers_output() {
    for residual in [false, true] {
        let layer = dual_layer::<f64>(0, residual, false);
        let tokens = Matrix::new(TOKENS, D, normals(99, "tokens", TOKENS * D, 1.0)).unwrap();
        let (n, query) = (8, TOKENS - 1);
        let whole = layer.predict(&tokens, n, Visibility::All).unwrap();
        let orders: [Vec<usize>; 2] = [(0..n).collect(), vec![3, 7, 0, 5, 1, 6, 2, 4]];
        let curves = orders.map(|o| layer.predict_along_steps(&tokens, n, query, &o).unwrap());
        let t = Tolerance::roundoff_f64(200);
        for curve in &curves {
            assert_eq!(curve.len(), n + 1);
            t.assert_all_close(&curve[n], whole.row(query), "last step");
        }
        assert_eq!(curves[0][0], curves[1][0]);
        assert_ne!(curves[0][1], curves[1][1]);
    }
}
