//! The kernels against the processor's, bit for bit, over random settings; and two mutants that must be caught.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_cuda::{Covered, Emulation, Variant, test_losses, train};
use icl_model::ModelError;
use icl_model::adam::AdamSettings;
use icl_model::attention;
use icl_model::checkpoint;
use icl_model::kernel::Kernel;
use icl_model::machine::Machine;
use icl_model::objective::Set;
use icl_model::prompt::{Inputs, Labels, MapEntries, PromptShape, QueryLabel};
use icl_model::settings::{
    Backend, LinearStackSettings, RunSettings, StackSettings, Start, TrainSettings,
};
use icl_model::task::{self, Scale};
use icl_model::trainer::{Checkpoint, Finished, Trainer, Unkept};
use icl_model::training::Training;
use icl_numerics::lanes::Isa;
use icl_numerics::stream::{Draws, Stream};
use icl_numerics::threads::Threads;
use std::cell::RefCell;

/// Random settings of every registered example.
const PER_EXAMPLE: u64 = 16;

fn of<T: Copy>(draws: &mut Draws<'_>, all: &[T]) -> T {
    all[draws.below(all.len() as u64) as usize]
}

fn between(draws: &mut Draws<'_>, low: usize, high: usize) -> usize {
    low + draws.below((high - low + 1) as u64) as usize
}

/// A layer with this modification; everything else is drawn. Sizes reach over lanes, chunks and odd ends.
fn drawn(modification: &str, index: u64) -> TrainSettings {
    let stream = Stream::new(index, modification);
    let draws = &mut stream.sample(0);
    // the largest example has seven negatives or fewer demonstrations than sixteen cannot hold
    let n_demos = if draws.below(4) == 0 { between(draws, 33, 64) } else { between(draws, 8, 17) };
    let n_demos = if modification.starts_with("negative") || modification.starts_with("combined") {
        n_demos
    } else {
        between(draws, 1, n_demos)
    };
    let kernels = [
        Kernel::Softmax,
        Kernel::SoftmaxWithoutQuery,
        Kernel::Linear,
        Kernel::Positive(between(draws, 1, 40)),
    ];
    let task = task::ALL[draws.below(task::ALL.len() as u64) as usize].id();
    let noise = of(draws, &[0.0, 0.5]);
    let query = of(draws, &[QueryLabel::Masked, QueryLabel::Guess(1.5)]);
    let labels = if draws.below(2) == 0 { Labels::default() } else { Labels { noise, query } };
    TrainSettings {
        task: task.into(),
        scale: of(draws, &[Scale::Raw, Scale::Unit, Scale::Half]),
        prompt: PromptShape { n_demos, d_t: between(draws, 1, 7), d_s: between(draws, 1, 3) },
        inputs: of(draws, &[Inputs::Uniform, Inputs::Normal]),
        map: of(
            draws,
            &[MapEntries::Normal, MapEntries::Uniform, MapEntries::Signs, MapEntries::Sparse],
        ),
        labels,
        pool: of(draws, &[None, None, Some(1), Some(5)]),
        n_heads: of(draws, &[1, 2, 4]),
        modification: modification.into(),
        kernel: of(draws, &kernels),
        steps: between(draws, 1, 4),
        // up to three chunks of 128 prompts, the last one not full
        batch: 16 * of(draws, &[1, 2, 8, 9, 17]),
        adam: AdamSettings {
            learning_rate: of(draws, &[1e-2, 3e-3]),
            clip: of(draws, &[0.0, 0.01]),
            decay: of(draws, &[0.0, 0.1]),
            schedule: of(
                draws,
                &[icl_model::adam::Course::Constant, icl_model::adam::Course::Cosine],
            )
            .over(4),
            ..AdamSettings::default()
        },
        init_std: of(draws, &[0.1, 0.5]),
        start: of(draws, &[Start::Drawn, Start::Opposed, Start::WithinAligned]),
        n_validation: between(draws, 16, 75),
        validate_every: between(draws, 1, 3),
        evaluation: of(draws, &[None, Some("other")]).map(Into::into),
        seed: index,
        backend: Backend::Fused,
    }
}

/// Every registered example that has a fused form.
fn examples() -> Vec<String> {
    attention::examples().filter(|name| attention::parse(name).unwrap().terms().is_some()).collect()
}

/// Random layers of every registered modification.
fn layers() -> impl Iterator<Item = RunSettings> {
    let of = |name: String| (0..PER_EXAMPLE).map(move |index| drawn(&name, index));
    examples().into_iter().flat_map(of).map(RunSettings::Layer)
}

/// Random stacks of every registered modification, of one to three layers.
fn stacks() -> impl Iterator<Item = RunSettings> {
    let of = |name: String| {
        (0..PER_EXAMPLE / 4).map(move |index| {
            let train = TrainSettings { kernel: Kernel::Softmax, ..drawn(&name, index + 100) };
            let stream = Stream::new(index, &format!("stack/{name}"));
            let draws = &mut stream.sample(0);
            let (layers, d_ff) = (between(draws, 1, 3), between(draws, 1, 9));
            StackSettings { train, layers, d_ff, residual: of(draws, &[false, true]) }
        })
    };
    examples().into_iter().flat_map(of).map(RunSettings::Stack)
}

/// Random stacks of linear attention, of one to four layers.
fn linear_stacks() -> impl Iterator<Item = RunSettings> {
    (0..32).map(|index| {
        let stream = Stream::new(index, "linear stack");
        let draws = &mut stream.sample(0);
        let (layers, d) = (between(draws, 1, 4), between(draws, 1, 6));
        let drawn = drawn("plain", index);
        RunSettings::LinearStack(LinearStackSettings {
            layers,
            n_demos: drawn.prompt.n_demos,
            scales: (0..d).map(|_| of(draws, &[1.0, 0.5, 0.25, 1.5])).collect(),
            steps: drawn.steps,
            batch: drawn.batch,
            adam: drawn.adam,
            // moments grow with the third power from layer to layer: larger weights overflow
            init_std: of(draws, &[0.02, 0.1]),
            n_validation: drawn.n_validation,
            validate_every: drawn.validate_every,
            seed: index,
        })
    })
}

/// Every kind of run.
fn all() -> [(Vec<RunSettings>, usize); 3] {
    [(layers().collect(), 200), (stacks().collect(), 50), (linear_stacks().collect(), 30)]
}

fn cpu() -> Machine {
    Machine::cpu(Isa::detect(), Threads::One)
}

/// The processor's run of these settings.
fn processor(settings: &RunSettings) -> Training {
    Training::new(settings.clone(), &cpu()).unwrap()
}

/// The run of a block, and its parameters before every step and at the end.
fn emulated(settings: &RunSettings, variant: Variant) -> Finished {
    let steps: Vec<usize> = (0..=settings.train().steps).collect();
    let run = Covered::new(settings.clone()).unwrap().watched(&steps);
    train(&Emulation(variant), &[run]).unwrap().remove(0).unwrap()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Whether the emulated run is the processor's to the bit: parameters at every step, moments, validation losses.
fn agrees(settings: &RunSettings, run: &Finished) -> bool {
    let training = processor(settings);
    let mut trainer = training.trainer();
    let mut curve = trainer.run(&Unkept).unwrap();
    curve.pop();
    let same = |a: &[f32], b: &[f32]| bits(a) == bits(b);
    let mut watched = Vec::new();
    let steps: Vec<usize> = (0..=settings.train().steps).collect();
    let look = |step: usize, at: &Trainer<'_>| {
        watched.push(same(&run.watched[&step], at.parameters().packed()));
        Ok::<(), ModelError>(())
    };
    training.trainer().watch(&steps, look).unwrap();
    same(run.parameters.packed(), trainer.parameters().packed())
        && same(&run.adam.first, &trainer.adam().first)
        && same(&run.adam.second, &trainer.adam().second)
        && run.adam == *trainer.adam()
        && run.watched.len() == steps.len()
        && watched.iter().all(|same| *same)
        && run.curve.len() == curve.len()
        && run.curve.iter().zip(&curve).all(|(a, b)| {
            let bits = |x: f64| x.to_bits();
            a.step == b.step && bits(a.loss) == bits(b.loss) && bits(a.nmse) == bits(b.nmse)
        })
}

#[test]
fn blocks_have_the_processors_bits_for_every_modification() {
    for (all, least) in all() {
        assert!(all.len() >= least, "{} settings", all.len());
        for settings in all {
            assert!(agrees(&settings, &emulated(&settings, Variant::Exact)), "{settings:?}");
        }
    }
}

#[test]
fn test_losses_have_the_processors_bits() {
    for settings in layers().step_by(7).chain(stacks().step_by(5)).chain(linear_stacks()) {
        let n = 33;
        let training = processor(&settings);
        let trainer = training.trainer();
        let expected = trainer.evaluate_each(Set::Test, n).unwrap().1;
        let run = Covered::new(settings.clone()).unwrap();
        let parameters = trainer.parameters().packed();
        let found = test_losses(&Emulation(Variant::Exact), &run, parameters, n).unwrap();
        let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same && found.len() == n, "{settings:?}");
    }
}

#[test]
fn the_order_of_threads_does_not_matter() {
    for settings in layers().step_by(6).chain(stacks().step_by(4)).chain(linear_stacks()) {
        let run = emulated(&settings, Variant::Backwards);
        assert_eq!(run, emulated(&settings, Variant::Exact), "{settings:?}");
    }
}

#[test]
fn a_contracted_product_and_a_reordered_sum_are_caught() {
    for variant in [Variant::Contracted, Variant::Reordered] {
        let kinds = [
            layers().step_by(5).collect::<Vec<_>>(),
            stacks().step_by(3).collect(),
            linear_stacks().collect(),
        ];
        for all in kinds {
            let differs = |settings: &&RunSettings| !agrees(settings, &emulated(settings, variant));
            let caught = all.iter().filter(differs).count();
            // a sum of one or two terms has no other order, a first moment of a first step nothing to contract
            assert!(2 * caught > all.len(), "{variant:?}: {caught} of {}", all.len());
        }
    }
}

/// A state at the end of a run, from which the trainer goes on.
struct Left(RefCell<Option<Vec<u8>>>);

impl Checkpoint for Left {
    fn load(&self) -> Option<Vec<u8>> {
        self.0.take()
    }
    fn due(&self) -> bool {
        false
    }
    fn save(&self, _: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

#[test]
fn a_run_of_a_block_is_a_checkpoint_from_which_the_trainer_ends() {
    let settings = TrainSettings {
        steps: 10,
        batch: 144,
        n_validation: 40,
        validate_every: 4,
        ..TrainSettings::base()
    };
    let settings = RunSettings::Layer(settings);
    let run = emulated(&settings, Variant::Exact);
    let state = checkpoint::run_to_bytes(&run.parameters, &run.adam, &run.curve).unwrap();
    let training = processor(&settings);
    let whole = training.trainer().run(&Unkept).unwrap();
    let mut resumed = training.trainer();
    assert_eq!(resumed.run(&Left(RefCell::new(Some(state)))).unwrap(), whole);
    assert_eq!(resumed.adam().step, 10);
}

#[test]
fn many_runs_of_a_launch_are_the_runs_one_by_one() {
    let all: Vec<RunSettings> = layers().step_by(40).chain(stacks().step_by(20)).collect();
    let every = |settings: &RunSettings| -> Vec<usize> { (0..=settings.train().steps).collect() };
    let covered = |settings: &RunSettings| Covered::new(settings.clone()).unwrap();
    let runs: Vec<Covered> = all.iter().map(|run| covered(run).watched(&every(run))).collect();
    let together = train(&Emulation(Variant::Exact), &runs).unwrap();
    for (settings, run) in all.iter().zip(together) {
        assert_eq!(run.unwrap(), emulated(settings, Variant::Exact));
    }
}

#[test]
fn a_run_that_diverges_says_where() {
    // e^(W t) of a standard deviation of 20 in the exponent: a square beyond single precision within a few steps
    let settings = TrainSettings {
        task: "exponential".into(),
        scale: Scale::Raw,
        prompt: PromptShape { n_demos: 1, d_t: 400, d_s: 1 },
        inputs: Inputs::Normal,
        steps: 200,
        batch: 16,
        n_validation: 16,
        ..TrainSettings::base()
    };
    let settings = RunSettings::Layer(settings);
    let expected = processor(&settings).trainer().run(&Unkept).unwrap_err().to_string();
    let run = Covered::new(settings).unwrap();
    let found = train(&Emulation(Variant::Exact), &[run]).unwrap().remove(0).unwrap_err();
    assert_eq!(found.to_string(), expected);
}

#[test]
fn what_no_block_trains_is_named() {
    let base = TrainSettings::base();
    let reference = TrainSettings { backend: Backend::Reference, ..base };
    let reason = Covered::new(RunSettings::Layer(reference)).unwrap_err().to_string();
    assert!(reason.contains("backend reference") && reason.contains("processor"), "{reason}");
}
