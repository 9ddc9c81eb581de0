//! On a GPU: the bits of the processor where the class is `exact`, and tolerances where it is `cuda`.
//!
//! `just test-gpu` runs these where a GPU is.

#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use candle_core::{DType, Tensor};
use icl_cuda::{Covered, Gpu, test_losses, train};
use icl_model::ModelError;
use icl_model::attention::{self, Weights};
use icl_model::bert::embedding::Tables;
use icl_model::bert::model::{Bert, Last};
use icl_model::bert::{Batch, Head, Pretrained, variables};
use icl_model::device::Device;
use icl_model::kernel::Kernel;
use icl_model::machine::Machine;
use icl_model::objective::Set;
use icl_model::prompt::{Inputs, PromptShape};
use icl_model::settings::{
    Backend, LinearStackSettings, RunSettings, StackSettings, TrainSettings,
};
use icl_model::task::Scale;
use icl_model::trainer::{Finished, Trainer, Unkept};
use icl_model::training::{LayerTraining, Training};
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn cpu() -> Machine {
    Machine::cpu(Isa::detect(), Threads::new(2).unwrap())
}

/// Figure-sized runs, short: every fused example of the registry, every kernel and number of heads of plain, and stacks.
fn runs() -> Vec<RunSettings> {
    let base = TrainSettings { steps: 40, n_validation: 1000, ..TrainSettings::base() };
    let fused =
        attention::examples().filter(|name| attention::parse(name).unwrap().terms().is_some());
    let modified = fused.map(|modification| TrainSettings { modification, ..base.clone() });
    let kernels = [Kernel::SoftmaxWithoutQuery, Kernel::Linear, Kernel::Positive(100)];
    let kernels = kernels.map(|kernel| TrainSettings { kernel, ..base.clone() });
    let heads = [2, 4].map(|n_heads| TrainSettings { n_heads, seed: 5, ..base.clone() });
    let stack = |modification: &str| {
        let modification = modification.into();
        let train = TrainSettings { modification, steps: 10, batch: 512, ..base.clone() };
        RunSettings::Stack(StackSettings { train, layers: 2, d_ff: 48, residual: true })
    };
    let stacks = ["plain", "augmented:form=mlp,on=both", "negative:m=3,beta=0.5"].map(stack);
    let linear = RunSettings::LinearStack(LinearStackSettings {
        layers: 3,
        n_demos: 20,
        scales: vec![1.0, 1.0, 0.5, 0.25, 1.0],
        steps: 40,
        batch: 1024,
        adam: base.adam.clone(),
        init_std: 0.02,
        n_validation: 1000,
        validate_every: 20,
        seed: 3,
    });
    let layers = modified.chain(kernels).chain(heads).map(RunSettings::Layer);
    layers.chain(stacks).chain([linear]).collect()
}

/// Steps at which parameters are compared.
const WATCHED: [usize; 3] = [0, 3, 10];

fn covered(settings: &RunSettings) -> Covered {
    Covered::new(settings.clone()).unwrap().watched(&WATCHED)
}

/// The processor's run of these settings, and its losses on test prompts.
fn by_processor(settings: &RunSettings, n_test: usize) -> (Finished, Vec<f64>) {
    let training = Training::new(settings.clone(), &cpu()).unwrap();
    let mut trainer = training.trainer();
    let mut curve = trainer.run(&Unkept).unwrap();
    curve.pop();
    let losses = trainer.evaluate_each(Set::Test, n_test).unwrap().1;
    let mut watched = BTreeMap::new();
    let look = |step: usize, at: &Trainer<'_>| {
        watched.insert(step, at.parameters().packed().to_vec());
        Ok::<(), ModelError>(())
    };
    training.trainer().watch(&WATCHED, look).unwrap();
    let adam = trainer.adam().clone();
    (Finished { parameters: trainer.into_parameters(), adam, curve, watched }, losses)
}

#[test]
#[ignore = "needs a GPU"]
fn blocks_have_the_processors_bits_and_the_same_twice() {
    let gpu = Gpu::new(0).unwrap();
    let runs: Vec<Covered> = runs().iter().map(covered).collect();
    let first: Vec<Finished> =
        train(&gpu, &runs).unwrap().into_iter().map(Result::unwrap).collect();
    let second = train(&gpu, &runs).unwrap();
    for ((run, first), again) in runs.iter().zip(&first).zip(second) {
        assert_eq!(first, &again.unwrap(), "{run:?}");
        let (finished, expected) = by_processor(run.settings(), 5000);
        assert_eq!(first, &finished, "{run:?}");
        let found = test_losses(&gpu, run, first.parameters.packed(), 5000).unwrap();
        assert_eq!(found, expected, "{run:?}");
    }
}

#[test]
#[ignore = "needs a GPU"]
fn a_run_that_diverges_says_where() {
    let settings = RunSettings::Layer(TrainSettings {
        task: "exponential".into(),
        scale: Scale::Raw,
        prompt: PromptShape { n_demos: 1, d_t: 400, d_s: 1 },
        inputs: Inputs::Normal,
        steps: 200,
        batch: 16,
        n_validation: 16,
        ..TrainSettings::base()
    });
    let failed =
        Training::new(settings.clone(), &cpu()).unwrap().trainer().run(&Unkept).unwrap_err();
    let run = covered(&settings);
    let found = train(&Gpu::new(0).unwrap(), &[run]).unwrap().remove(0).unwrap_err();
    assert_eq!(found.to_string(), failed.to_string());
}

#[test]
#[ignore = "needs a GPU"]
fn the_reference_layer_trains_to_the_processors_loss() {
    for modification in ["plain", "augmented:form=mlp,on=both", "negative:m=3,beta=0.5"] {
        let settings = TrainSettings {
            steps: 20,
            batch: 256,
            n_validation: 512,
            modification: modification.into(),
            backend: Backend::Reference,
            ..TrainSettings::base()
        };
        let loss = |device: Device| {
            let machine = Machine::new(device, Threads::One);
            let layer = LayerTraining::new(settings.clone(), &machine).unwrap();
            layer.trainer().run(&Unkept).unwrap().last().unwrap().loss
        };
        let (gpu, cpu) = (loss(Device::Cuda(0, Isa::detect())), loss(Device::Cpu(Isa::detect())));
        // single precision with sums in another order, over twenty steps of Adam
        assert!((gpu / cpu - 1.0).abs() < 1e-3, "{modification}: {gpu} {cpu}");
    }
}

fn fixture(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../icl-model/tests/bert").join(model)
}

/// Last hidden states of a small BERT on the fixture's sentences.
fn last_states(model: &str, dtype: DType, device: &candle_core::Device) -> Vec<f64> {
    let pretrained = Pretrained::open(&fixture(model)).unwrap();
    let expected = candle_core::safetensors::load(
        fixture(model).join("expected.safetensors"),
        &candle_core::Device::Cpu,
    )
    .unwrap();
    let numbers = |x: &Tensor| -> Vec<f64> {
        x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let words = |name: &str| numbers(&expected[name]).iter().map(|x| *x as u32).collect();
    let (n, n_tokens) = expected["ids"].dims2().unwrap();
    let real = numbers(&expected["mask"]).iter().map(|x| *x == 1.0).collect();
    let batch = Batch { n, n_tokens, ids: words("ids"), segments: words("segments"), real };
    let modification: Arc<dyn attention::Modification> = attention::parse("plain").unwrap().into();
    let bert = Bert { config: pretrained.config.clone(), modification };
    let specs = variables::specs(&bert.config, Head::Classifier(2), bert.modification.as_ref());
    let parameters = pretrained.parameters(specs, 1).unwrap().parameters;
    let packed = Tensor::new(parameters.packed(), device).unwrap().to_dtype(dtype).unwrap();
    let weights: Weights = parameters.unpack(&packed, Isa::detect()).unwrap();
    let tables = Tables::new(&parameters, bert.config.hidden_size).unwrap();
    let embedded = tables.embed(parameters.packed(), &batch, dtype, device).unwrap();
    let states = bert.encode(&weights, &embedded, Last::All, None).unwrap();
    numbers(&states.last().unwrap().to_device(&candle_core::Device::Cpu).unwrap())
}

#[test]
#[ignore = "needs a GPU"]
fn a_bert_has_the_processors_states_in_single_precision_and_in_bf16() {
    // products of f32 in f32, not in the eleven bits of TF32
    assert!(!candle_core::cuda_backend::gemm_reduced_precision_f32());
    let gpu = candle_core::Device::new_cuda(0).unwrap();
    for model in ["one-head", "twelve-heads"] {
        let wanted = last_states(model, DType::F32, &candle_core::Device::Cpu);
        let size = (wanted.iter().map(|x| x * x).sum::<f64>() / wanted.len() as f64).sqrt();
        // rounding of single precision, and of eight bits, over the layers
        for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::BF16, 5e-2)] {
            let found = last_states(model, dtype, &gpu);
            let far = found.iter().zip(&wanted).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
            let far = (far / wanted.len() as f64).sqrt() / size;
            assert!(far < tolerance, "{model} {dtype:?}: {far}");
        }
    }
}
