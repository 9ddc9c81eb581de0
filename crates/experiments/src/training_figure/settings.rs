//! Settings of a figure, as in its TOML.

use crate::item::Context;
use crate::settings::SettingsFile;
use icl_model::adam::{AdamSettings, Course};
use icl_model::kernel::KernelSettings;
use icl_model::prompt::{Inputs, Labels, MapEntries, PromptShape};
use icl_model::settings::{Backend, StackSettings, Start, TrainSettings};
use icl_model::task::Scale;
use serde::Deserialize;

/// Settings of an item of this family, as in its TOML.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(super) task: String,
    pub(super) scale: Scale,
    pub(super) n_demos: usize,
    pub(super) d_t: usize,
    pub(super) d_s: usize,
    pub(super) n_heads: usize,
    pub(super) d_r: usize,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) learning_rate: f64,
    pub(super) clip: f64,
    pub(super) schedule: Course,
    pub(super) initial_sd: f64,
    pub(super) start: Start,
    pub(super) test_every: usize,
    pub(super) n_test: usize,
    pub(super) n_final: usize,
    pub(super) seeds: u64,
    pub(super) panels: Vec<PanelSettings>,
    pub(super) dual_prompts: usize,
    pub(super) dual_orders: usize,
    pub(super) dual_feature_orders: usize,
    pub(super) dual_d_r: usize,
    /// Smallest effect of interest, a share of plain's mean loss.
    pub(super) margin: f64,
    /// Largest factor of plain's loss over attention's floor; 0 where no floor is known.
    pub(super) floor: f64,
    /// Whole layers instead of attention alone.
    #[serde(default)]
    pub(super) transformer: Option<Transformer>,
}

/// Feed-forward part and depth.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transformer {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) residual: bool,
}

/// One panel of test losses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PanelSettings {
    pub(super) title: String,
    pub(super) modifications: Vec<String>,
}

pub(super) const PLAIN: &str = "plain";

impl Settings {
    pub(super) fn read(file: &SettingsFile, context: Context) -> anyhow::Result<Self> {
        let settings: Self = file.typed(context.profile)?;
        let ranges = [
            ("seeds", settings.seeds as usize, 1, 1000),
            ("n_final", settings.n_final, 1, 1 << 24),
            ("dual_prompts", settings.dual_prompts, 1, settings.n_test),
            ("dual_orders", settings.dual_orders, 1, 1_000_000),
            ("dual_feature_orders", settings.dual_feature_orders, 1, 1_000_000),
            ("dual_d_r", settings.dual_d_r, 1, 65_536),
        ];
        for (field, found, low, high) in ranges {
            if found < low || found > high {
                return Err(file.refuse(field, &found.to_string(), &format!("{low} to {high}")));
            }
        }
        if !(0.0..1.0).contains(&settings.margin) {
            return Err(file.refuse("margin", &settings.margin.to_string(), "0 to 1"));
        }
        settings
            .train(PLAIN, 0)
            .check()
            .map_err(|error| file.refuse("training", &error.to_string(), "settings in range"))?;
        Ok(settings)
    }

    pub(super) fn train(&self, modification: &str, seed: u64) -> TrainSettings {
        TrainSettings {
            task: self.task.clone(),
            scale: self.scale,
            prompt: PromptShape { n_demos: self.n_demos, d_t: self.d_t, d_s: self.d_s },
            inputs: Inputs::default(),
            map: MapEntries::default(),
            labels: Labels::default(),
            pool: None,
            n_heads: self.n_heads,
            modification: modification.to_owned(),
            kernel: KernelSettings::with_features(self.d_r),
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate: self.learning_rate,
                clip: self.clip,
                schedule: self.schedule.over(self.steps),
                ..AdamSettings::default()
            },
            init_std: self.initial_sd,
            start: self.start,
            n_validation: self.n_test,
            validate_every: self.test_every,
            evaluation: None,
            seed,
            backend: Backend::Fused,
        }
    }

    /// The same with whole layers, if this figure has them.
    pub(super) fn transformer(&self, modification: &str, seed: u64) -> Option<StackSettings> {
        let Transformer { layers, hidden, residual } = self.transformer?;
        let train = self.train(modification, seed);
        Some(StackSettings { train, layers, d_ff: hidden, residual })
    }

    /// Plain and every panel's modifications, in order: `(panel, modification)`.
    pub(super) fn runs(&self) -> Vec<(String, String)> {
        let plain = (PLAIN.to_owned(), PLAIN.to_owned());
        let panel = |panel: &PanelSettings| {
            let title = panel.title.clone();
            panel.modifications.iter().map(move |m| (title.clone(), m.clone())).collect::<Vec<_>>()
        };
        std::iter::once(plain).chain(self.panels.iter().flat_map(panel)).collect()
    }
}
