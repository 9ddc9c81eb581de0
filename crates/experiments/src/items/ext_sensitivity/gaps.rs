//! The gaps of the paper that are filled otherwise, one at a time.

use icl_model::kernel::KernelSettings;
use icl_model::prompt::Inputs;
use icl_model::settings::TrainSettings;
use icl_model::task::Scale;

/// A gap: its name, what the sources say, what we chose, what is tried instead.
pub(super) struct Gap {
    pub(super) name: &'static str,
    pub(super) source: &'static str,
    pub(super) chosen: &'static str,
    pub(super) tried: &'static str,
    pub(super) apply: fn(&mut TrainSettings),
}

/// The item whose setting is the base.
pub(crate) const BASE: &str = "fig3-linear";
/// Its settings that a gap below changes.
pub(crate) const VARIED: [&str; 11] = [
    "task",
    "d_t",
    "d_s",
    "n_demos",
    "n_heads",
    "d_r",
    "learning_rate",
    "batch",
    "clip",
    "initial_sd",
    "steps",
];

/// Every gap that the settings files tag as recollected or ours and that changes a number. The first
/// is the base setting.
pub(super) static GAPS: &[Gap] = &[
    Gap { name: "base", source: "-", chosen: "-", tried: "nothing", apply: |_| {} },
    Gap {
        name: "fewer inputs",
        source: "recollection: d_t = 11",
        chosen: "11",
        tried: "5",
        apply: |t| t.prompt.d_t = 5,
    },
    Gap {
        name: "more inputs",
        source: "recollection: d_t = 11",
        chosen: "11",
        tried: "20",
        apply: |t| t.prompt.d_t = 20,
    },
    Gap {
        name: "more targets",
        source: "recollection: d_s = 1",
        chosen: "1",
        tried: "3",
        apply: |t| t.prompt.d_s = 3,
    },
    Gap {
        name: "fewer demonstrations",
        source: "caption: 15 steps in one figure",
        chosen: "15",
        tried: "7",
        apply: |t| t.prompt.n_demos = 7,
    },
    Gap {
        name: "more demonstrations",
        source: "caption: 15 steps in one figure",
        chosen: "15",
        tried: "31",
        apply: |t| t.prompt.n_demos = 31,
    },
    Gap {
        name: "normal inputs",
        source: "recollection: U(-1, 1)",
        chosen: "U(-1, 1)",
        tried: "N(0, 1)",
        apply: |t| t.inputs = Inputs::Normal,
    },
    Gap {
        name: "two heads",
        source: "recollection: one head",
        chosen: "1",
        tried: "2",
        apply: |t| {
            t.n_heads = 2;
            // the start that ext-search finds for two heads
            t.init_std = 0.1;
        },
    },
    Gap {
        name: "features in the layer",
        source: "recollection: d_r = 1200 features",
        chosen: "exact softmax",
        tried: "100 features",
        apply: |t| t.kernel = KernelSettings::with_features(100),
    },
    Gap {
        name: "cosine, unscaled",
        source: "name of the task only",
        chosen: "linear",
        tried: "cos(W t)",
        apply: |t| t.task = "trigonometric".into(),
    },
    Gap {
        name: "cosine, unit scale",
        source: "name of the task only",
        chosen: "linear",
        tried: "cos(W t / sd)",
        apply: |t| {
            t.task = "trigonometric".into();
            t.scale = Scale::Unit;
        },
    },
    Gap {
        name: "exponential, unit scale",
        source: "name of the task only",
        chosen: "linear",
        tried: "exp(W t / sd)",
        apply: |t| {
            t.task = "exponential".into();
            t.scale = Scale::Unit;
            // its heavy-tailed targets make single gradients large
            t.adam.clip = 1.0;
        },
    },
    Gap {
        name: "lower rate",
        source: "not stated",
        chosen: "1e-2",
        tried: "3e-3",
        apply: |t| t.adam.learning_rate = 3e-3,
    },
    Gap {
        name: "smaller batch",
        source: "not stated",
        chosen: "1024",
        tried: "a quarter",
        apply: |t| t.batch = (t.batch / 64).max(1) * 16,
    },
    Gap {
        name: "clipped gradients",
        source: "not stated",
        chosen: "none",
        tried: "global norm 0.1",
        apply: |t| t.adam.clip = 0.1,
    },
    Gap {
        name: "smaller start",
        source: "not stated",
        chosen: "0.3",
        tried: "0.1",
        apply: |t| t.init_std = 0.1,
    },
    Gap {
        name: "half the steps",
        source: "not stated",
        chosen: "as the profile says",
        tried: "half",
        apply: |t| t.steps /= 2,
    },
];
