//! Exact and random-feature dual against attention, from outside.
//!
//! The other side is the model crate's candle layer, which shares no code with this crate beyond
//! `icl-numerics`; a naive triple loop is the third opinion.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

mod places;

use candle_core::{DType, Tensor};
use dual_model::feature_map::{FeatureMap, Positive};
use dual_model::head::{Head, HeadMatrices};
use dual_model::sequence::{Visibility, exact_predictions, feature_predictions};
use dual_model::{Matrix, Real};
use icl_model::attention::{self, LayerShape, Weights};
use icl_model::kernel::{AttentionKernel, Kernel, Omegas};
use icl_model::mask::Mask;
use icl_model::reference::Layer;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use places::everywhere;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    d: usize,
    n_tokens: usize,
    n_demos: usize,
    n_heads: usize,
    mask: u8,
    logits: f64,
}

fn case() -> impl Strategy<Value = Case> {
    let d = prop::sample::select(vec![1_usize, 2, 3, 5, 7, 11, 13, 17]);
    let tokens = prop::sample::select(vec![1_usize, 2, 3, 5, 11, 19, 31]);
    (any::<u64>(), d, tokens, 0.0..1.0, 1_usize..4, 0_u8..3, 0.1..60.0_f64).prop_map(
        |(seed, d, n_tokens, part, n_heads, mask, logits)| {
            let n_demos = (part * (n_tokens + 1) as f64) as usize;
            Case { seed, d, n_tokens, n_demos, n_heads, mask, logits }
        },
    )
}

struct Arrays {
    tokens: Vec<f64>,
    projections: [Vec<f64>; 3],
}

/// Tokens and projections; queries and keys scaled so that logits reach about `case.logits`.
fn arrays(case: &Case) -> Arrays {
    let normals = |purpose: &str, n: usize, sd: f64| {
        let stream = Stream::new(case.seed, purpose);
        let mut draws = stream.sample(0);
        (0..n).map(|_| sd * draws.normal()).collect::<Vec<_>>()
    };
    let n = case.n_heads * case.d * case.d;
    let sd = (case.logits / 4.0).sqrt() / case.d as f64 * (case.d as f64).sqrt().sqrt();
    Arrays {
        tokens: normals("tokens", case.n_tokens * case.d, 1.0),
        projections: [normals("q", n, sd), normals("k", n, sd), normals("v", n, 1.0)],
    }
}

fn visibility(case: &Case) -> (Visibility, Mask) {
    let length = 1 + case.seed as usize % case.n_tokens;
    match case.mask {
        0 => (Visibility::All, Mask::None),
        1 => (Visibility::Causal, Mask::Causal),
        _ => (Visibility::Prefix(length), Mask::Padding(vec![length])),
    }
}

/// `h'` of every token by the model crate, `[tokens, d]`.
fn attend(case: &Case, arrays: &Arrays, dtype: DType, kernel: &AttentionKernel) -> Vec<f64> {
    let device = places::device();
    let tensor = |x: &[f64], shape: &[usize]| {
        Tensor::from_slice(x, shape, &device).unwrap().to_dtype(dtype).unwrap()
    };
    let shape = [case.n_heads, case.d, case.d];
    let named = ["w_q", "w_k", "w_v"].iter().zip(&arrays.projections);
    let named = named.map(|(name, w)| ((*name).to_owned(), tensor(w, &shape)));
    let weights = Weights::new(named, dtype, &device, Isa::Portable);
    let plain = attention::parse("plain").unwrap();
    let layer_shape = LayerShape { d: case.d, n_heads: case.n_heads };
    let layer = Layer { shape: layer_shape, modification: plain.as_ref(), kernel };
    let tokens = tensor(&arrays.tokens, &[1, case.n_tokens, case.d]);
    let (_, mask) = visibility(case);
    let attended = layer.forward(&weights, &tokens, case.n_demos, &mask).unwrap();
    let out = attended.output.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    out.to_vec1().unwrap()
}

/// Keys, queries and values of head `h` by a plain triple loop.
fn head<R: Real>(case: &Case, arrays: &Arrays, h: usize) -> Head<R> {
    let scale = 1.0 / (case.d as f64).sqrt().sqrt();
    let project = |w: &[f64], scale: f64| {
        Matrix::from_fn(case.n_tokens, case.d, |t, a| {
            let mut sum = R::ZERO;
            for i in 0..case.d {
                let w = R::from_f64(w[(h * case.d + a) * case.d + i]);
                sum += w * R::from_f64(arrays.tokens[t * case.d + i]);
            }
            sum * R::from_f64(scale)
        })
    };
    Head {
        queries: project(&arrays.projections[0], scale),
        keys: project(&arrays.projections[1], scale),
        values: project(&arrays.projections[2], 1.0),
    }
}

/// Every head by [`Head::project`].
fn projected(case: &Case, arrays: &Arrays) -> Vec<Head> {
    let tokens = Matrix::new(case.n_tokens, case.d, arrays.tokens.clone()).unwrap();
    let [w_q, w_k, w_v] = &arrays.projections;
    let matrices = HeadMatrices::of_heads(case.d, w_q, w_k, w_v).unwrap();
    matrices.iter().map(|matrices| Head::project(&tokens, matrices).unwrap()).collect()
}

fn sum_of_heads(case: &Case, predict: impl Fn(usize) -> Vec<f64>) -> Vec<f64> {
    let mut total = vec![0.0; case.n_tokens * case.d];
    for h in 0..case.n_heads {
        total.iter_mut().zip(predict(h)).for_each(|(t, x)| *t += x);
    }
    total
}

/// Largest difference relative to the largest value that enters: values bound the outputs, and
/// outputs may cancel to nearly zero.
fn relative_difference(got: &[f64], want: &[f64], arrays: &Arrays) -> f64 {
    let scale = largest::magnitude(arrays.projections[2].iter().copied())
        * largest::magnitude(arrays.tokens.iter().copied());
    let size = largest::at_least(largest::magnitude(want.iter().copied()), scale);
    largest::difference(got, want) / size
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1200, ..ProptestConfig::default() })]

    #[test]
    fn exact_dual_equals_attention_in_double_precision(case in case()) {
        let arrays = arrays(&case);
        let wanted = everywhere(|| attend(&case, &arrays, DType::F64, &Kernel::Softmax));
        let (visibility, _) = visibility(&case);
        let heads = projected(&case, &arrays);
        for (own, head) in (0..case.n_heads).map(|h| head::<f64>(&case, &arrays, h)).zip(&heads) {
            for (own, head) in [(&own.queries, &head.queries), (&own.keys, &head.keys), (&own.values, &head.values)] {
                let scale = largest::at_least(largest::magnitude(own.entries().iter().copied()), 1.0);
                let difference = largest::difference(own.entries(), head.entries()) / scale;
                prop_assert!(difference <= 1e-13, "projection {difference:e}");
            }
        }
        let got = sum_of_heads(&case, |h| {
            exact_predictions(&heads[h], case.n_demos, visibility).unwrap().entries().to_vec()
        });
        for (place, want) in wanted {
            let difference = relative_difference(&got, &want, &arrays);
            prop_assert!(difference <= 1e-12, "{place}: {difference:e}");
        }
    }

    #[test]
    fn exact_dual_equals_attention_in_single_precision(case in case()) {
        // a rounding error of the logits is multiplied by their size: 60 of them at 2^-24 stay below
        let case = Case { logits: largest::at_most(case.logits, 8.0), ..case };
        let arrays = arrays(&case);
        let wanted = everywhere(|| attend(&case, &arrays, DType::F32, &Kernel::Softmax));
        let (visibility, _) = visibility(&case);
        let got = sum_of_heads(&case, |h| {
            let head = head::<f32>(&case, &arrays, h);
            let out = exact_predictions(&head, case.n_demos, visibility).unwrap();
            out.entries().iter().map(|x| f64::from(*x)).collect()
        });
        for (place, want) in wanted {
            let difference = relative_difference(&got, &want, &arrays);
            prop_assert!(difference <= 1e-5, "{place}: {difference:e}");
        }
    }

    #[test]
    fn random_feature_dual_equals_random_feature_attention(case in case(), d_r in 1_usize..40) {
        // one feature's relative spread is sqrt(e^z - 1): large logits would only test underflow
        let case = Case { logits: largest::at_most(case.logits, 4.0), ..case };
        let arrays = arrays(&case);
        let stream = Stream::new(case.seed, "omegas");
        let omegas = dual_model::feature_map::gaussian_rows(&stream, d_r, case.d);
        let rows = Omegas::new(omegas.concat(), case.d);
        let kernel = Kernel::Positive(rows);
        let wanted = everywhere(|| attend(&case, &arrays, DType::F64, &kernel));
        let map = Positive::new(omegas);
        let (visibility, _) = visibility(&case);
        let got = sum_of_heads(&case, |h| {
            let head = head::<f64>(&case, &arrays, h);
            let out = feature_predictions(&map, &head, case.n_demos, visibility).unwrap();
            out.entries().to_vec()
        });
        for (place, want) in wanted {
            let difference = relative_difference(&got, &want, &arrays);
            prop_assert!(difference <= 1e-12, "{place}: {difference:e}");
        }
        prop_assert_eq!(map.key_features(&vec![0.0; case.d]).len(), d_r);
    }
}
