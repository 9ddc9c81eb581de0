//! Trained layers, and the weights with which they are compared on the same prompts.

use super::Settings;
use crate::cells::{machine, training};
use crate::named::{Named as _, named};
use crate::regression::{Entries, best_step, one_step_loss};
use artifact::cell::Cell;
use artifact::table::{ColumnType, Schema, Table};
use dual_model::floor::{self, Problem, Query, Sampling};
use icl_model::adam::{Adam, AdamSettings};
use icl_model::attention::Parameters;
use icl_model::device::Device;
use icl_model::kernel::{Kernel, KernelSettings};
use icl_model::objective::Set;
use icl_model::prompt::PromptShape;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;
use icl_numerics::threads::Threads;
use serde_json::json;

named! {
    /// A layer of attention over the demonstrations only.
    pub(super) enum Layer {
        /// One head.
        OneHead = "1 softmax head",
        /// Two heads.
        TwoHeads = "2 softmax heads",
        /// Four heads.
        FourHeads = "4 softmax heads",
        /// One head without softmax.
        Linear = "linear attention",
    }
}

impl Layer {
    fn kernel(self) -> KernelSettings {
        match self {
            Self::Linear => Kernel::Linear,
            _ => Kernel::SoftmaxWithoutQuery,
        }
    }

    fn n_heads(self) -> usize {
        match self {
            Self::OneHead | Self::Linear => 1,
            Self::TwoHeads => 2,
            Self::FourHeads => 4,
        }
    }

    /// All layers are trained alike.
    fn training(self, settings: &Settings, n_demos: usize, seed: u64) -> TrainSettings {
        TrainSettings {
            prompt: PromptShape { n_demos, d_t: settings.d, d_s: 1 },
            kernel: self.kernel(),
            n_heads: self.n_heads(),
            steps: settings.steps,
            batch: settings.batch,
            adam: AdamSettings {
                learning_rate: settings.learning_rate,
                schedule: settings.schedule.over(settings.steps),
                ..AdamSettings::default()
            },
            init_std: settings.initial_sd,
            start: settings.start,
            validate_every: settings.steps.max(1),
            seed,
            ..TrainSettings::base()
        }
    }

    /// Name of a trained layer's cell.
    pub(super) fn cell_name(self, n_demos: usize, seed: u64) -> String {
        format!("{}/N = {n_demos}/{seed}", self.name())
    }

    /// The cell that trains it.
    pub(super) fn cell(
        self,
        settings: &Settings,
        n_demos: usize,
        seed: u64,
        device: Device,
    ) -> anyhow::Result<Cell> {
        let train = self.training(settings, n_demos, seed);
        training::cell(self.cell_name(n_demos, seed), train, settings.n_final, device)
    }
}

named! {
    /// Weights that are known, in the layer of their family.
    pub(super) enum Reference {
        /// One gradient step of the best size, which linear attention can be.
        Step = "1 gradient step",
        /// The best of one softmax head `(c, beta)`.
        OneHead = "floor of 1 head",
        /// The best pair of softmax heads.
        TwoHeads = "floor of 2 heads",
    }
}

/// Weights of a reference: output scale and score of every head, and the loss over all prompts with its error.
struct Weights {
    heads: Vec<[f64; 2]>,
    loss: f64,
    standard_error: f64,
}

impl Reference {
    fn layer(self) -> Layer {
        match self {
            Self::Step => Layer::Linear,
            Self::OneHead => Layer::OneHead,
            Self::TwoHeads => Layer::TwoHeads,
        }
    }

    /// Name of its cell.
    pub(super) fn cell_name(self, n_demos: usize) -> String {
        format!("{}/N = {n_demos}", self.name())
    }

    /// The weights for the layers' inputs, which are uniform on (-1, 1).
    fn weights(self, settings: &Settings, n_demos: usize) -> anyhow::Result<Weights> {
        if self == Self::Step {
            // inputs twice as wide want a quarter of the step
            let eta = best_step(Entries::Uniform, n_demos, settings.d);
            let loss = one_step_loss(Entries::Uniform, n_demos, settings.d, eta);
            return Ok(Weights { heads: vec![[eta / 4.0, 1.0]], loss, standard_error: 0.0 });
        }
        let problem = Problem {
            n_demos,
            d_t: settings.d,
            half_width: 1.0,
            heads: self.layer().n_heads(),
            query: Query::Outside,
            negatives: None,
        };
        let sampling = Sampling { prompts: Some(settings.floor_prompts), seed: 0 };
        let found = floor::floor(&problem, sampling, &Threads::One)?;
        let lowest = found.lowest();
        Ok(Weights {
            heads: lowest.heads.iter().map(|head| [head.c, head.beta]).collect(),
            loss: lowest.nmse,
            standard_error: lowest.standard_error,
        })
    }

    /// The cell that computes the weights and their loss on the prompts on which trained layers are judged.
    pub(super) fn cell(self, settings: &Settings, n_demos: usize, device: Device) -> Cell {
        let settings = settings.clone();
        let train = self.layer().training(&settings, n_demos, 0);
        Cell::new(
            self.cell_name(n_demos),
            (settings.floor_prompts as usize * n_demos * settings.d) as f64 / 1e6,
            json!({
                "kind": "baseline-reference/1", "reference": self, "d": settings.d,
                "n_demos": n_demos, "floor_prompts": settings.floor_prompts,
                "n_final": settings.n_final
            }),
            schema(),
            move |_| {
                let weights = self.weights(&settings, n_demos)?;
                let layer = LayerTraining::new(train.clone(), &machine(device))?;
                let mut trainer = layer.trainer();
                let parameters = parameters(trainer.parameters(), settings.d + 1, &weights.heads)?;
                let adam = Adam::new(train.adam.clone(), &parameters);
                trainer.restore(parameters, adam);
                let on_prompts = trainer.evaluate(Set::Test, settings.n_final)?.nmse();
                self.table(n_demos, &weights, on_prompts)
            },
        )
    }

    fn table(self, n_demos: usize, weights: &Weights, on_prompts: f64) -> anyhow::Result<Table> {
        let head = |h: usize| weights.heads.get(h).copied().unwrap_or_default();
        let ([c_1, beta_1], [c_2, beta_2]) = (head(0), head(1));
        let mut table = Table::builder("references")
            .texts("reference", &[self.name()])
            .integers("n_demos", vec![n_demos as i64]);
        let values = [c_1, beta_1, c_2, beta_2, weights.loss, weights.standard_error, on_prompts];
        for (name, value) in VALUES.into_iter().zip(values) {
            table = table.floats(name, vec![value]);
        }
        Ok(table.build()?)
    }
}

const VALUES: [&str; 7] =
    ["c_1", "beta_1", "c_2", "beta_2", "relative_loss", "standard_error", "on_prompts"];

fn schema() -> Schema {
    let mut schema =
        vec![("reference".into(), ColumnType::Text), ("n_demos".into(), ColumnType::Integer)];
    schema.extend(VALUES.map(|name| (name.to_owned(), ColumnType::Float)));
    schema
}

/// A layer of tokens of size `d` whose heads have the scores `beta x_i . x_q` and the values `c y_i`.
fn parameters(layout: &Parameters, d: usize, heads: &[[f64; 2]]) -> anyhow::Result<Parameters> {
    let mut parameters = layout.clone();
    parameters.packed_mut().fill(0.0);
    let mut set = |name: &str, head: usize, row: usize, value: f64| {
        let range = parameters.range(name).ok_or_else(|| anyhow::anyhow!("no variable {name}"))?;
        parameters.packed_mut()[range.start + (head * d + row) * d + row] = value as f32;
        anyhow::Ok(())
    };
    for (head, [c, beta]) in heads.iter().enumerate() {
        for row in 0..d - 1 {
            // keys and queries are divided by d^(1/4) each
            set("w_q", head, row, beta * (d as f64).sqrt())?;
            set("w_k", head, row, 1.0)?;
        }
        set("w_v", head, d - 1, *c)?;
    }
    Ok(parameters)
}
