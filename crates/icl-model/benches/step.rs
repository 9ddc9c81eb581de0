//! Time of one training step by variant and modification.

#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a bench stops at the first fault")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use icl_model::adam::AdamSettings;
use icl_model::kernel::KernelSettings;
use icl_model::machine::Machine;
use icl_model::prompt::PromptShape;
use icl_model::settings::{Backend, TrainSettings};
use icl_model::training::LayerTraining;
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;

fn settings(modification: &str, d_r: usize, n_demos: usize, backend: Backend) -> TrainSettings {
    TrainSettings {
        prompt: PromptShape { n_demos, d_t: 11, d_s: 1 },
        modification: modification.into(),
        kernel: KernelSettings::with_features(d_r),
        steps: 1,
        adam: AdamSettings { learning_rate: 1e-3, ..AdamSettings::default() },
        n_validation: 16,
        validate_every: 1,
        backend,
        ..TrainSettings::base()
    }
}

fn layer(settings: TrainSettings) -> LayerTraining {
    let machine = Machine::cpu(Isa::detect(), Threads::new(2).unwrap());
    LayerTraining::new(settings, &machine).unwrap()
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step of 1024 prompts");
    group.sample_size(20);
    let cases = [
        ("softmax", "plain", 0, 15),
        ("softmax, N = 31", "plain", 0, 31),
        ("softmax, N = 63", "plain", 0, 63),
        ("positive, d_r = 100", "plain", 100, 15),
        ("positive, d_r = 400", "plain", 400, 15),
        ("positive, d_r = 1200", "plain", 1200, 15),
        ("augmented", "augmented", 0, 15),
        ("negative", "negative", 0, 15),
    ];
    for (name, modification, d_r, n_demos) in cases {
        let layer = layer(settings(modification, d_r, n_demos, Backend::Fused));
        let mut trainer = layer.trainer();
        group.bench_function(BenchmarkId::new("fused", name), |b| {
            b.iter(|| trainer.step().unwrap());
        });
    }
    for (name, d_r) in [("softmax", 0), ("positive, d_r = 100", 100)] {
        let layer = layer(settings("plain", d_r, 15, Backend::Reference));
        let mut trainer = layer.trainer();
        group.bench_function(BenchmarkId::new("candle operations", name), |b| {
            b.iter(|| trainer.step().unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
