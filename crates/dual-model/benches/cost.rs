//! Cost of the exact dual beside the attention it explains, and of the streams against their length.

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a bench stops at the first fault")]

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dual_model::Matrix;
use dual_model::dual::KeyValue;
use dual_model::feature_map::{Positive, gaussian_rows};
use dual_model::head::key_scale;
use dual_model::sequence::Visibility;
use dual_model::shared::{SharedDual, SharedFeatureDual};
use icl_model::ops;
use icl_numerics::lanes::Isa;
use icl_numerics::stream::Stream;

/// Rows of small normals: logits of order one.
fn rows(purpose: &str, n: usize, d: usize) -> Vec<f64> {
    let rows = gaussian_rows(&Stream::new(1, purpose), n, d);
    rows.concat().into_iter().map(|x| key_scale(d) * x).collect()
}

/// All queries of one head: softmax attention by candle operations, and the shared exact dual.
fn all_queries(criterion: &mut Criterion) {
    let (t, d) = (512, 64);
    let [q, k, v] = ["q", "k", "v"].map(|purpose| rows(purpose, t, d));
    let tensor = |x: &[f64]| Tensor::from_slice(x, (t, d), &Device::Cpu).unwrap();
    let (tq, tk, tv) = (tensor(&q), tensor(&k), tensor(&v));
    let mut group = criterion.benchmark_group("all queries, T = 512, d = 64, f64");
    group.bench_function("attention", |b| {
        b.iter(|| {
            let scores = ops::product_transposed(&tq, &tk).unwrap();
            let top = scores.max_keepdim(1).unwrap();
            let kernel = ops::exp(&scores.broadcast_sub(&top).unwrap(), Isa::detect()).unwrap();
            let weights = kernel.broadcast_div(&kernel.sum_keepdim(1).unwrap()).unwrap();
            ops::product(&weights, &tv).unwrap()
        });
    });
    let queries = Matrix::new(t, d, q).unwrap();
    group.bench_function("exact dual", |b| {
        b.iter(|| {
            let mut dual = SharedDual::new(d, d).on(Isa::detect());
            for (key, value) in k.chunks_exact(d).zip(v.chunks_exact(d)) {
                dual.step(KeyValue { key, value }).unwrap();
            }
            dual.predict_all(&queries, Visibility::All).unwrap()
        });
    });
    group.finish();
}

/// Causal stream of length `T`: one step and one query per token.
fn streams(criterion: &mut Criterion) {
    let d = 16;
    let map = Positive::new(gaussian_rows(&Stream::new(2, "omega"), 64, d));
    let mut group = criterion.benchmark_group("causal stream, d = 16, d_r = 64");
    group.sample_size(10);
    for t in [512, 2048, 8192, 16_384] {
        let (k, v) = (rows("k", t, d), rows("v", t, d));
        group.bench_with_input(BenchmarkId::new("features", t), &t, |b, _| {
            b.iter(|| {
                let mut state = SharedFeatureDual::new(&map, d, d);
                for (key, value) in k.chunks_exact(d).zip(v.chunks_exact(d)) {
                    state.step(KeyValue { key, value }).unwrap();
                    std::hint::black_box(state.predict(key).unwrap());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, all_queries, streams);
criterion_main!(benches);
