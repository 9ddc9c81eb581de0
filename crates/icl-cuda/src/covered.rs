//! A run that blocks train: its record from its settings, its part of a batch, and what comes back.

use crate::CudaError;
use crate::batch::{Batch, MOST_CONSTANTS};
use crate::host;
use crate::record::{Ending, LOSS_NOT_FINITE, Map, RUN_WELL, Run, Source};
use icl_model::ModelError;
use icl_model::adam::Adam;
use icl_model::attention::{self, Augmentation, Form, Modification, Parameters, Rule, Terms};
use icl_model::fused::{FusedLayer, FusedLinearStack, FusedStack, StackShape};
use icl_model::kernel::Kernel;
use icl_model::linear_stack;
use icl_model::model::{LAYER_PART, STACK_PART, square_targets};
use icl_model::objective::{CurvePoint, Evaluation};
use icl_model::prompt::{CHUNK, Inputs, MapEntries, PromptSampler, QueryLabel};
use icl_model::settings::{Backend, RunSettings, TrainSettings};
use icl_model::trainer::Finished;
use icl_numerics::lanes::{Isa, LANES};
use icl_numerics::order;
use std::collections::BTreeSet;
use std::fmt;

/// Partial sums of a loss, `icl_numerics::order`.
const PARTS: usize = 8;

/// A run that a block can train.
pub struct Covered {
    settings: RunSettings,
    /// Task, prompts, steps and optimiser.
    train: TrainSettings,
    /// Steps, ascending, before which the parameters are kept.
    watched: Vec<usize>,
    pub(crate) start: Parameters,
    terms: Terms,
    samplers: [PromptSampler; 3],
    /// Feature rows times `log2(e)`; of a stack of linear attention the scales of its second moments and of its loss.
    features: Vec<f32>,
    numbers_per_prompt: usize,
}

impl Covered {
    /// The run of these settings, if a block can train it.
    ///
    /// # Errors
    /// [`CudaError`] that says why none can.
    pub fn new(settings: RunSettings) -> Result<Self, CudaError> {
        settings.check()?;
        let train = settings.train().into_owned();
        let not =
            |found: &str, expected| Err(CudaError::NotCovered { found: found.into(), expected });
        let modification: Box<dyn Modification> = attention::parse(&train.modification)?;
        let Some(terms) = modification.terms() else {
            return not(&train.modification, "a modification made of the known terms");
        };
        if train.backend != Backend::Fused {
            return not("backend reference", "backend fused");
        }
        if !train.adam.groups.is_empty() {
            return not("groups of parameters", "one step size for all");
        }
        let start = settings.parameters(modification.as_ref());
        // the processor's kernels check what they share with these
        let features = match &settings {
            RunSettings::Layer(_) => {
                let kernel = train.kernel.drawn(train.seed, train.prompt.d());
                let layer = FusedLayer::new(train.prompt, train.n_heads, terms, kernel, &start)?;
                layer.scaled_omegas().to_vec()
            }
            RunSettings::Stack(stack) => {
                let (d, n_heads) = (train.prompt.d(), train.n_heads);
                let (layers, residual) = (stack.layers, stack.residual);
                FusedStack::new(StackShape { d, n_heads, layers, residual }, terms, &start)?;
                Vec::new()
            }
            RunSettings::LinearStack(stack) => {
                let [moments, c] =
                    FusedLinearStack::new(stack.layers, &stack.scales).constants(stack.n_demos);
                [moments, c].concat()
            }
        };
        let isa = Isa::detect();
        let samplers = [
            train.training_sampler(isa)?,
            train.validation_sampler(isa)?,
            train.test_sampler(isa)?,
        ];
        if samplers[0].streams().pool.is_some_and(|(_, maps)| maps.len() > MOST_CONSTANTS) {
            return not("a pool of more than 2^29 numbers", "a smaller pool");
        }
        let (watched, numbers_per_prompt) = (Vec::new(), 0);
        let mut run =
            Self { settings, train, watched, start, terms, samplers, features, numbers_per_prompt };
        run.numbers_per_prompt = host::numbers_per_prompt(&run.record());
        Ok(run)
    }

    /// The same run, whose parameters are kept at these steps.
    #[must_use]
    pub fn watched(self, steps: &[usize]) -> Self {
        let end = self.train.steps;
        let steps: BTreeSet<usize> = steps.iter().copied().filter(|step| *step <= end).collect();
        Self { watched: steps.into_iter().collect(), ..self }
    }

    /// The settings.
    pub fn settings(&self) -> &RunSettings {
        &self.settings
    }

    /// Numbers of scratch.
    pub(crate) fn work(&self, columns: usize) -> usize {
        let n = self.start.packed().len();
        let TrainSettings { prompt, n_heads, batch, .. } = &self.train;
        let sums = batch.div_ceil(LANES).div_ceil(CHUNK) * LANES;
        let similarities = n_heads * self.layers().max(1) * prompt.d() * prompt.d();
        (n + 1) * sums + similarities + self.numbers_per_prompt * columns
    }

    /// Numbers that a run writes, about: for the order of blocks only.
    pub(crate) fn cost(&self) -> f64 {
        let TrainSettings { steps, batch, .. } = &self.train;
        (steps * batch) as f64 * self.numbers_per_prompt as f64
    }

    /// Layers of a stack of Transformer layers, 0 for any other run.
    fn layers(&self) -> usize {
        match &self.settings {
            RunSettings::Layer(_) | RunSettings::LinearStack(_) => 0,
            RunSettings::Stack(stack) => stack.layers,
        }
    }

    /// Losses of a block of a sum.
    fn block(&self) -> usize {
        match &self.settings {
            RunSettings::Layer(_) => LAYER_PART,
            RunSettings::Stack(_) => i32::MAX as usize,
            RunSettings::LinearStack(_) => linear_stack::BLOCK,
        }
    }

    /// Sums of squared targets of the validation set, in the order of an evaluation.
    fn square_targets(&self) -> Vec<f64> {
        let TrainSettings { prompt, n_validation, .. } = self.train;
        match &self.settings {
            RunSettings::Layer(_) => square_targets(&self.samplers[1], n_validation, LAYER_PART),
            RunSettings::Stack(_) => square_targets(&self.samplers[1], n_validation, STACK_PART),
            RunSettings::LinearStack(_) => linear_stack::square_targets(prompt.d_t, n_validation),
        }
    }

    /// Validation losses along the training but for that of the end.
    fn points(&self) -> usize {
        let train = &self.train;
        train.steps.div_ceil(train.validate_every)
    }

    /// The record without the places in buffers.
    fn record(&self) -> Run {
        self.training(&self.prompts(&self.modification(&self.sizes())))
    }

    /// The place of a variable, of a stack in its first layer.
    fn place(&self, name: &str) -> i32 {
        let prefix = if self.layers() == 0 { "" } else { "0." };
        self.start.range(&format!("{prefix}{name}")).map_or(0, |range| int(range.start))
    }

    /// Sizes, kernel and places.
    fn sizes(&self) -> Run {
        let TrainSettings { prompt, n_heads, kernel, .. } = &self.train;
        let (d, layers) = (prompt.d(), self.layers());
        let (d_ff, residual, linear_layers) = match &self.settings {
            RunSettings::Layer(_) => (0, false, 0),
            RunSettings::Stack(stack) => (stack.d_ff, stack.residual, 0),
            RunSettings::LinearStack(stack) => (0, false, stack.layers),
        };
        let n_parameters = self.start.packed().len();
        Run {
            n_demos: int(prompt.n_demos),
            d_t: int(prompt.d_t),
            d_s: int(prompt.d_s),
            n_heads: int(*n_heads),
            kernel: match kernel {
                Kernel::Softmax => 0,
                Kernel::SoftmaxWithoutQuery => 1,
                Kernel::Linear => 2,
                Kernel::Positive(_) => 3,
            },
            d_r: int(kernel.d_r()),
            scale: (1.0 / (d as f64).sqrt().sqrt()) as f32,
            share: 1.0 / prompt.n_demos as f32,
            root_of_d: (d as f64).sqrt(),
            n_parameters: int(n_parameters),
            w_q_at: self.place("w_q"),
            w_k_at: self.place("w_k"),
            w_v_at: self.place("w_v"),
            layers: int(layers),
            layer_stride: int(n_parameters / layers.max(1)),
            d_ff: int(d_ff),
            linear_layers: int(linear_layers),
            residual: i32::from(residual),
            w_1_at: self.place("w_1"),
            b_1_at: self.place("b_1"),
            w_2_at: self.place("w_2"),
            b_2_at: self.place("b_2"),
            ..Run::default()
        }
    }

    /// The terms of the modification.
    fn modification(&self, run: &Run) -> Run {
        let n = self.train.prompt.n_demos;
        let negatives = self.terms.negatives;
        Run {
            keys: self.map(self.terms.keys, "g_keys"),
            values: self.map(self.terms.values, "g_values"),
            negatives: match negatives.map(|of| of.rule) {
                None => 0,
                Some(Rule::Lowest) => 1,
                Some(Rule::Highest) => 2,
                Some(Rule::Next | Rule::All) => 3,
            },
            n_negatives: negatives.map_or(0, |of| int(of.count(n))),
            negatives_weight: negatives.map_or(0.0, |of| of.weight(n)),
            query_side: self.terms.query_side_factor(),
            shrinkage: self.terms.shrinkage(),
            ..*run
        }
    }

    fn map(&self, g: Augmentation, side: &str) -> Map {
        let (form, hidden) = match g.form {
            Form::Identity => (0, 0),
            Form::Elementwise => (1, 0),
            Form::Mlp { hidden } => (2, int(hidden)),
        };
        let place = |name: &str| self.place(&format!("{side}.{name}"));
        Map { form, hidden, scale: g.scale, v_at: place("v"), u_at: place("u") }
    }

    /// What prompts are drawn from.
    fn prompts(&self, run: &Run) -> Run {
        let TrainSettings { prompt, labels, .. } = &self.train;
        let guess = match labels.query {
            QueryLabel::Masked => None,
            QueryLabel::Guess(noise) => Some(noise as f32),
        };
        Run {
            task: task(&self.train.task),
            inputs: match self.train.inputs {
                Inputs::Uniform => 0,
                Inputs::Normal => 1,
            },
            map: match self.train.map {
                MapEntries::Normal => 0,
                MapEntries::Uniform => 1,
                MapEntries::Signs => 2,
                MapEntries::Sparse => 3,
            },
            factor: self.train.scale.factor(prompt.d_t),
            noise: labels.noise as f32,
            guess: guess.unwrap_or(0.0),
            guessed: i32::from(guess.is_some()),
            noisy: i32::from(!labels.is_neutral()),
            ..*run
        }
    }

    /// Steps, sets of prompts and optimiser.
    fn training(&self, run: &Run) -> Run {
        let train = &self.train;
        Run {
            steps: int(train.steps),
            batch: int(train.batch),
            n_validation: int(train.n_validation),
            validate_every: int(train.validate_every),
            n_watched: int(self.watched.len()),
            block_of_losses: int(self.block()),
            prompt_weight: 1.0 / train.batch as f32,
            beta1: train.adam.beta1 as f32,
            beta2: train.adam.beta2 as f32,
            epsilon: train.adam.epsilon as f32,
            clip: train.adam.clip,
            ..*run
        }
    }

    /// What the block of run `i` left.
    pub(crate) fn trained(&self, batch: &Batch, i: usize) -> Result<Finished, ModelError> {
        let (run, ending) = (&batch.runs[i], batch.endings[i]);
        if ending.status != RUN_WELL {
            let what =
                if ending.status == LOSS_NOT_FINITE { "the training loss" } else { "a gradient" };
            return Err(ModelError::Diverged { step: ending.step as usize, what });
        }
        let train = &self.train;
        let (n, start) = (self.start.packed().len(), run.state_at as usize);
        let part = |k: usize| &batch.state[start + k * n..start + (k + 1) * n];
        let mut parameters = self.start.clone();
        parameters.packed_mut().copy_from_slice(part(0));
        let mut adam = Adam::new(train.adam.clone(), &parameters);
        adam.first.copy_from_slice(part(1));
        adam.second.copy_from_slice(part(2));
        adam.step = train.steps as u64;
        let mean_square_target = order::sum(&self.square_targets()) / train.n_validation as f64;
        let losses = &batch.doubles[run.curve_at as usize..][..self.points()];
        let point = |(k, loss): (usize, &f64)| {
            let nmse = Evaluation { loss: *loss, mean_square_target }.nmse();
            CurvePoint { step: k * train.validate_every, loss: *loss, nmse }
        };
        let curve = losses.iter().enumerate().map(point).collect();
        let kept = |(k, step): (usize, &usize)| (*step, part(4 + k).to_vec());
        let watched = self.watched.iter().enumerate().map(kept).collect();
        Ok(Finished { parameters, adam, curve, watched })
    }

    /// Adds the run to a batch; it starts from `parameters`.
    pub(crate) fn add_to(&self, batch: &mut Batch, parameters: &[f32], columns: usize) {
        let [training, validation, test] = [0, 1, 2].map(|k| source(batch, &self.samplers[k]));
        let settings = &self.train;
        let features_at = int(batch.constant(&self.features));
        let schedule: Vec<f32> = (1..=settings.steps as u64)
            .flat_map(|t| {
                let numbers = settings.adam.numbers(t, 1.0, settings.adam.decay);
                [numbers.step_size, numbers.kept, numbers.correction]
            })
            .collect();
        let schedule_at = int(batch.constant(&schedule));
        // steps of checked settings are exact in single precision
        let watched: Vec<f32> = self.watched.iter().map(|step| *step as f32).collect();
        let watched_at = int(batch.constant(&watched));
        let (state_at, work_at) = (batch.state.len() as i64, batch.n_work as i64);
        let n = parameters.len();
        batch.state.extend_from_slice(parameters);
        batch.state.resize(batch.state.len() + (3 + self.watched.len()) * n, 0.0);
        batch.n_work += self.work(columns);
        let losses_at = batch.doubles.len() as i64;
        let curve_at = losses_at + (PARTS + settings.n_validation) as i64;
        batch.doubles.resize(curve_at as usize + self.points(), 0.0);
        batch.numbers_per_prompt = batch.numbers_per_prompt.max(self.numbers_per_prompt);
        batch.endings.push(Ending::default());
        batch.runs.push(Run {
            state_at,
            work_at,
            losses_at,
            curve_at,
            training,
            validation,
            test,
            omegas_at: features_at,
            moments_at: features_at,
            c_at: features_at + int(self.features.len() / 2),
            schedule_at,
            watched_at,
            columns: int(columns),
            ..self.record()
        });
    }
}

fn source(batch: &mut Batch, sampler: &PromptSampler) -> Source {
    let streams = sampler.streams();
    let (pool_size, pool_at) = match streams.pool {
        Some((size, weights)) => (int(size), int(batch.constant(weights))),
        None => (0, 0),
    };
    Source {
        key: streams.prompts,
        label_key: streams.labels,
        pool_key: streams.choices,
        pool_size,
        pool_at,
    }
}

impl fmt::Debug for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Covered").field(&self.settings).field(&self.watched).finish()
    }
}

/// The number of a task in `kernels/layer.h`.
fn task(id: &str) -> i32 {
    match id {
        "trigonometric" => 1,
        "cosine" => 2,
        "exponential" => 3,
        "shifted-exponential" => 4,
        _ => 0,
    }
}

/// A size as the kernels count; checked settings are far below their limit.
fn int(n: usize) -> i32 {
    i32::try_from(n).expect("sizes of checked settings fit 32 bits")
}
