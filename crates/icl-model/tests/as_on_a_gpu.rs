//! What candle's operations compute on a GPU, on the CPU: the reference layer and stacks with every modification have the
//! outputs, losses and gradients of our own operations, to rounding.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_model::attention;
use icl_model::kernel::Kernel;
use icl_model::machine::Machine;
use icl_model::objective::Set;
use icl_model::ops;
use icl_model::prompt::PromptShape;
use icl_model::settings::{Backend, RunSettings, StackSettings, TrainSettings};
use icl_model::trainer::Trainer;
use icl_model::training::Training;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::threads::Threads;

/// Every modification with every kernel, one head and two; and stacks.
fn runs() -> impl Iterator<Item = RunSettings> {
    let base = TrainSettings {
        prompt: PromptShape { n_demos: 9, d_t: 4, d_s: 2 },
        batch: 16,
        n_validation: 16,
        backend: Backend::Reference,
        ..TrainSettings::base()
    };
    let kernels =
        [Kernel::Softmax, Kernel::SoftmaxWithoutQuery, Kernel::Linear, Kernel::Positive(20)];
    attention::examples().flat_map(move |modification| {
        let train = TrainSettings { modification, ..base.clone() };
        let stack = StackSettings { train: train.clone(), layers: 2, d_ff: 7, residual: true };
        let layer = move |(i, kernel): (usize, _)| {
            RunSettings::Layer(TrainSettings { kernel, n_heads: 1 + i % 2, ..train.clone() })
        };
        let layers = kernels.into_iter().enumerate().map(layer);
        layers.chain([RunSettings::Stack(stack)]).collect::<Vec<_>>()
    })
}

/// Test losses at the start, and the first moments after one step: a tenth of the gradient.
fn step(settings: &RunSettings) -> (Vec<f64>, Vec<f32>) {
    let machine = Machine::cpu(Isa::detect(), Threads::One);
    let training = Training::new(settings.clone(), &machine).unwrap();
    let mut trainer: Trainer<'_> = training.trainer();
    let losses = trainer.evaluate_each(Set::Test, 32).unwrap().1;
    trainer.step().unwrap();
    let gradient = trainer.adam().first.clone();
    (losses, gradient)
}

#[test]
fn losses_and_gradients_are_those_of_our_own_operations() {
    let mut other = 0;
    for settings in runs() {
        let (losses, gradient) = step(&settings);
        let (found, slope) = ops::as_on_a_gpu(|| step(&settings));
        let double = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let (gradient, slope) = (double(&gradient), double(&slope));
        let near = |a: &[f64], b: &[f64]| {
            // single precision, sums of some tens of terms
            largest::difference(a, b) <= 1e-5 * largest::magnitude(b.iter().copied())
        };
        assert!(near(&found, &losses), "{settings:?}");
        assert!(near(&slope, &gradient), "{settings:?}");
        other += usize::from(found != losses || slope != gradient);
    }
    // another path: other last digits somewhere
    assert!(other > 20, "{other}");
}
