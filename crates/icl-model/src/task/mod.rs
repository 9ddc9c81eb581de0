//! The tasks: what relates a demonstration's input `t` to its target `s`.
//!
//! Every task draws `W` with independent `N(0, 1)` entries and inputs from `U(-1, 1)^{d_t}`, one `W`
//! for a prompt; it states only how the target follows from `W t`. Paper gap: the paper's task
//! definitions are not at hand; names and forms are ours.
//!
//! A new task is one file here and one line in [`ALL`].

mod exponential;
mod linear;
mod trigonometric;

use crate::ModelError;
use icl_numerics::lanes::{Isa, Lane16};

/// A task `s = f(W t)`, applied element by element.
pub trait Task: Sync {
    /// Name on the command line and in settings.
    fn id(&self) -> &'static str;
    /// Definition, for documents and figures.
    fn equation(&self) -> &'static str;
    /// Replaces every `W t` by the target `s`.
    fn respond(&self, isa: Isa, wt: &mut [Lane16]);
    /// The scale on which the task is shown unless a setting says otherwise.
    fn default_scale(&self) -> Scale {
        Scale::Unit
    }
}

/// All tasks.
pub static ALL: &[&dyn Task] = &[
    &linear::Linear,
    &trigonometric::Trigonometric,
    &trigonometric::Cosine,
    &exponential::Exponential,
    &exponential::ShiftedExponential,
];

/// The task named `id`.
///
/// # Errors
/// [`ModelError::Unknown`] with the known names.
pub fn find(id: &str) -> Result<&'static dyn Task, ModelError> {
    ALL.iter().copied().find(|task| task.id() == id).ok_or_else(|| ModelError::Unknown {
        kind: "task",
        found: id.to_owned(),
        known: ALL.iter().map(|task| task.id()).collect::<Vec<_>>().join(", "),
    })
}

/// How `W t` is scaled before the task's function.
///
/// Paper gap: whether the source scales it is not known. `Unit` divides by the standard deviation
/// `sqrt(d_t / 3)`; without it sine and cosine are too fast to learn and the exponential's tail too heavy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// `W t` as it is.
    Raw,
    /// `W t / sqrt(d_t / 3)`, of unit variance.
    Unit,
    /// `W t / (2 sqrt(d_t / 3))`, of standard deviation one half.
    Half,
}

impl Scale {
    /// The factor on `W t` for inputs of size `d_t`.
    pub fn factor(self, d_t: usize) -> f32 {
        match self {
            Self::Raw => 1.0,
            Self::Unit => (3.0 / d_t as f64).sqrt() as f32,
            Self::Half => ((3.0 / d_t as f64).sqrt() / 2.0) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_found() {
        for task in ALL {
            assert_eq!(find(task.id()).unwrap().equation(), task.equation());
        }
        let message = find("no-such-task").err().unwrap().to_string();
        assert!(
            message.contains("linear, trigonometric, cosine, exponential, shifted-exponential"),
            "{message}"
        );
    }
}
