//! Adam with groups of parameters, decoupled decay, a schedule of the step size, clipping by the global norm, and
//! a state that can be saved.
//!
//! ```text
//! m <- b1 m + (1-b1) g,   v <- b2 v + (1-b2) g^2
//! w <- w - r_t lr decay w                                            (only where decay > 0)
//! w <- w - r_t lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)        r_t: the schedule
//! ```
//!
//! Sources: D. Kingma, J. Ba, "Adam: a method for stochastic optimization" (2015); I. Loshchilov, F. Hutter,
//! "Decoupled weight decay regularization" (2019).

use crate::ModelError;
use crate::attention::Parameters;
use icl_numerics::{math, order};
use std::ops::Range;

/// Settings of Adam.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamSettings {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Largest global norm of a gradient; 0 does not clip.
    pub clip: f64,
    /// Decoupled decay of weights, relative to the step size.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decay: f64,
    /// How the step size changes along the training.
    #[serde(default, skip_serializing_if = "Schedule::is_constant")]
    pub schedule: Schedule,
    /// Variables with a step size or decay of their own; the first group that takes a variable has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

impl Default for AdamSettings {
    /// The values of the source; step size 1e-2, constant, no decay and no clipping.
    fn default() -> Self {
        Self {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip: 0.0,
            decay: 0.0,
            schedule: Schedule::Constant,
            groups: Vec::new(),
        }
    }
}

/// Factor `r_t` on the step size.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// 1.
    #[default]
    Constant,
    /// `(1 + cos(pi (t - 1) / total)) / 2`: from 1 to nearly 0 at step `total`.
    Cosine {
        /// Steps of the whole run.
        total: u64,
    },
    /// Linear from 0 over the first `warm_up` steps, then linear to 0 at step `total`.
    WarmUpThenLinear {
        /// Steps to the full step size.
        warm_up: u64,
        /// Step at which it is 0.
        total: u64,
    },
}

impl Schedule {
    fn is_constant(&self) -> bool {
        *self == Self::Constant
    }

    /// `r_t` of step `t`, from 1.
    pub fn factor(self, t: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine { total } => {
                let done = t.saturating_sub(1).min(total) as f64 / total.max(1) as f64;
                f64::midpoint(1.0, math::cos(std::f64::consts::PI * done))
            }
            Self::WarmUpThenLinear { warm_up, .. } if t <= warm_up => t as f64 / warm_up as f64,
            Self::WarmUpThenLinear { warm_up, total } => {
                let left = total.saturating_sub(t) as f64;
                left / total.saturating_sub(warm_up).max(1) as f64
            }
        }
    }
}

/// A schedule for runs of any length, by its name in settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Course {
    /// The full step size to the end.
    #[default]
    Constant,
    /// [`Schedule::Cosine`] over the whole run.
    Cosine,
}

impl Course {
    /// The schedule of a run of so many steps.
    pub fn over(self, steps: usize) -> Schedule {
        match self {
            Self::Constant => Schedule::Constant,
            Self::Cosine => Schedule::Cosine { total: steps as u64 },
        }
    }
}

/// Variables with a step size or decay of their own.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The group takes variables whose name contains this.
    pub name_contains: String,
    /// Factor on the step size.
    pub rate: f64,
    /// Decay, in place of the common one.
    pub decay: f64,
}

impl AdamSettings {
    /// Rate and decay of the variable `name`.
    fn of(&self, name: &str) -> (f64, f64) {
        let own = self.groups.iter().find(|group| name.contains(&group.name_contains));
        own.map_or((1.0, self.decay), |group| (group.rate, group.decay))
    }

    /// Step size of step `t`, before any group's rate.
    fn full(&self, t: u64) -> f64 {
        self.schedule.factor(t) * self.learning_rate
    }

    /// The numbers of step `t`, from 1, for variables whose group has this rate and decay.
    pub fn numbers(&self, t: u64, rate: f64, decay: f64) -> StepNumbers {
        let own = rate * self.full(t);
        let power = |beta: f64| 1.0 - math::powi(beta, i32::try_from(t).unwrap_or(i32::MAX));
        StepNumbers {
            step_size: (own / power(self.beta1)) as f32,
            kept: kept(own, decay),
            correction: (1.0 / power(self.beta2)) as f32,
        }
    }

    /// What `steps` steps from the first leave of weights of the variable `name` that never have a gradient: decay
    /// alone, to the bits of as many calls of [`Adam::update`].
    pub fn decay_alone(&self, name: &str, weights: &mut [f32], steps: u64) {
        let (rate, decay) = self.of(name);
        let factors: Vec<f32> = (1..=steps).map(|t| kept(rate * self.full(t), decay)).collect();
        for block in weights.chunks_mut(BLOCK) {
            for factor in &factors {
                block.iter_mut().for_each(|w| *w *= factor);
            }
        }
    }
}

/// What a step needs beside moments and gradients, in single precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepNumbers {
    /// `r_t lr / (1-b1^t)`.
    pub step_size: f32,
    /// Share of a weight that decay leaves.
    pub kept: f32,
    /// `1 / (1-b2^t)`.
    pub correction: f32,
}

/// Share of a weight that decay leaves at a step size.
fn kept(step_size: f64, decay: f64) -> f32 {
    (1.0 - step_size * decay) as f32
}

/// The packed parameters of one group.
#[derive(Debug, Clone, PartialEq)]
struct Span {
    range: Range<usize>,
    rate: f64,
    decay: f64,
}

/// The optimiser's state: moments and the number of steps taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    settings: AdamSettings,
    spans: Vec<Span>,
    /// First moments, packed like the parameters.
    pub first: Vec<f32>,
    /// Second moments.
    pub second: Vec<f32>,
    /// Steps taken.
    pub step: u64,
}

impl Adam {
    /// A fresh state for the given parameters.
    pub fn new(settings: AdamSettings, parameters: &Parameters) -> Self {
        let spans = parameters.ranges().into_iter().map(|(spec, range)| {
            let (rate, decay) = settings.of(&spec.name);
            Span { range, rate, decay }
        });
        let (spans, n) = (spans.collect(), parameters.packed().len());
        Self { spans, settings, first: vec![0.0; n], second: vec![0.0; n], step: 0 }
    }

    /// One step; `gradient` is scaled to the clipping norm first.
    ///
    /// # Errors
    /// [`ModelError::Shape`] if the lengths differ.
    pub fn update(&mut self, parameters: &mut [f32], gradient: &[f32]) -> Result<(), ModelError> {
        let n = self.first.len();
        if [parameters.len(), gradient.len(), self.second.len()] != [n; 3] {
            let found = vec![parameters.len(), gradient.len(), self.second.len()];
            return Err(ModelError::Shape { op: "Adam", found, expected: vec![n; 3] });
        }
        self.step += 1;
        let AdamSettings { beta1, beta2, epsilon, clip, .. } = self.settings;
        let scale = clip_factor(gradient, clip);
        let (b1, b2, epsilon) = (beta1 as f32, beta2 as f32, epsilon as f32);
        for Span { range, rate, decay } in &self.spans {
            let numbers = self.settings.numbers(self.step, *rate, *decay);
            let StepNumbers { step_size: own, kept, correction } = numbers;
            let moments = self.first[range.clone()]
                .chunks_mut(BLOCK)
                .zip(self.second[range.clone()].chunks_mut(BLOCK));
            let weights = parameters[range.clone()]
                .chunks_mut(BLOCK)
                .zip(gradient[range.clone()].chunks(BLOCK));
            for ((weights, gradient), (first, second)) in weights.zip(moments) {
                if [gradient, first, second].into_iter().all(are_zero) {
                    weights.iter_mut().for_each(|w| *w *= kept);
                    continue;
                }
                let moments = first.iter_mut().zip(second);
                for ((w, g), (m, v)) in weights.iter_mut().zip(gradient).zip(moments) {
                    let g = g * scale;
                    *m = b1 * *m + (1.0 - b1) * g;
                    *v = b2 * *v + (1.0 - b2) * g * g;
                    *w = kept * *w - own * *m / ((*v * correction).sqrt() + epsilon);
                }
            }
        }
        Ok(())
    }
}

/// Parameters that are looked at together: most rows of a table of words never have a gradient, and for them the
/// step is the decay, to the bit.
const BLOCK: usize = 128;

/// Whether all are zero, in either sign.
fn are_zero(x: &[f32]) -> bool {
    x.iter().fold(0, |bits, x| bits | x.to_bits()) << 1 == 0
}

/// `min(1, clip / |g|)`; 1 where `clip` is 0. The norm is summed in a fixed order in `f64`.
pub fn clip_factor(gradient: &[f32], clip: f64) -> f32 {
    if clip == 0.0 {
        return 1.0;
    }
    let norm = order::sum_of_squares_f32(gradient).sqrt();
    if norm > clip { (clip / norm) as f32 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::ParameterSpec;

    fn parameters(values: &[(&str, f32)]) -> Parameters {
        let specs = values.iter().map(|(name, _)| ParameterSpec::new(*name, &[1], 0.0)).collect();
        let mut parameters = Parameters::from_specs(specs, 0);
        for (place, (_, value)) in parameters.packed_mut().iter_mut().zip(values) {
            *place = *value;
        }
        parameters
    }

    fn after(settings: AdamSettings, start: &[(&str, f32)], gradients: &[&[f32]]) -> Vec<f32> {
        let mut parameters = parameters(start);
        let mut adam = Adam::new(settings, &parameters);
        for gradient in gradients {
            adam.update(parameters.packed_mut(), gradient).unwrap();
        }
        parameters.packed().to_vec()
    }

    #[test]
    fn first_step_is_the_learning_rate_against_the_sign() {
        // t = 1: m/(1-b1) = g, v/(1-b2) = g^2, so the step is lr g / (|g| + eps)
        let w = after(AdamSettings::default(), &[("a", 1.0), ("b", 1.0)], &[&[0.5, -3.0]]);
        assert!((w[0] - 0.99).abs() < 1e-6 && (w[1] - 1.01).abs() < 1e-6, "{w:?}");
    }

    #[test]
    fn decay_is_decoupled_and_groups_have_their_own_step_and_decay() {
        let group = Group { name_contains: "bias".into(), rate: 0.5, decay: 0.0 };
        let settings = AdamSettings { decay: 0.1, groups: vec![group], ..AdamSettings::default() };
        let start = [("w", 2.0), ("x.bias", 2.0)];
        // w: 2 (1 - .01 * .1) - .01; bias: 2 - .005
        let w = after(settings.clone(), &start, &[&[4.0, 4.0]]);
        assert!((w[0] - 1.988).abs() < 1e-6 && (w[1] - 1.995).abs() < 1e-6, "{w:?}");
        // no gradient: decay alone
        let w = after(settings, &start, &[&[0.0, 0.0]]);
        assert!((w[0] - 1.998).abs() < 1e-6 && w[1] == 2.0, "{w:?}");
    }

    #[test]
    fn what_never_had_a_gradient_only_decays_to_the_same_bits() {
        let settings = AdamSettings { decay: 0.1, clip: 1.0, ..AdamSettings::default() };
        // two blocks and a rest; the first has a gradient in its first step alone
        let n = 2 * BLOCK + 5;
        let specs = vec![ParameterSpec::new("w", &[n], 1.0)];
        let mut parameters = Parameters::from_specs(specs, 3);
        parameters.packed_mut()[BLOCK + 1] = -0.0;
        let start = parameters.packed().to_vec();
        let mut adam = Adam::new(settings.clone(), &parameters);
        let mut gradient = vec![0.0; n];
        for step in 0..3 {
            gradient[2] = if step == 0 { 0.5 } else { 0.0 };
            adam.update(parameters.packed_mut(), &gradient).unwrap();
        }
        let kept = (1.0 - 1e-2 * 0.1) as f32;
        let decayed = |w: f32| kept * (kept * (kept * w - 0.0) - 0.0) - 0.0;
        for i in (0..n).filter(|i| *i != 2) {
            assert_eq!(parameters.packed()[i].to_bits(), decayed(start[i]).to_bits(), "{i}");
        }
        let mut alone = start[BLOCK..].to_vec();
        settings.decay_alone("w", &mut alone, 3);
        assert!(
            alone
                .iter()
                .zip(&parameters.packed()[BLOCK..])
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
        assert!(adam.first[2] != 0.0 && parameters.packed()[2] < decayed(start[2]));
    }

    #[test]
    fn the_schedule_rises_and_falls_on_straight_lines() {
        let schedule = Schedule::WarmUpThenLinear { warm_up: 4, total: 12 };
        let factors: Vec<f64> = (1..=13).map(|t| schedule.factor(t)).collect();
        assert_eq!(factors[..4], [0.25, 0.5, 0.75, 1.0]);
        assert_eq!(factors[4..6], [0.875, 0.75]);
        assert_eq!(factors[11..], [0.0, 0.0]);
        assert_eq!(Schedule::Constant.factor(7), 1.0);
        let settings = AdamSettings { schedule, ..AdamSettings::default() };
        let w = after(settings, &[("a", 1.0)], &[&[0.5]]);
        assert!((w[0] - 0.9975).abs() < 1e-6, "{w:?}");
    }

    #[test]
    fn the_cosine_falls_from_one_by_half_a_turn() {
        let schedule = Schedule::Cosine { total: 4 };
        let factors: Vec<f64> = (1..=6).map(|t| schedule.factor(t)).collect();
        let root = 0.5_f64.sqrt() / 2.0;
        for (factor, expected) in factors.iter().zip([1.0, 0.5 + root, 0.5, 0.5 - root, 0.0, 0.0]) {
            assert!((factor - expected).abs() < 1e-15, "{factors:?}");
        }
    }

    #[test]
    fn clipping_scales_to_the_norm_and_leaves_small_gradients() {
        assert_eq!(clip_factor(&[3.0, 4.0], 10.0), 1.0);
        assert_eq!(clip_factor(&[3.0, 4.0], 2.5), 0.5);
        assert_eq!(clip_factor(&[3.0, 4.0], 0.0), 1.0);
    }

    #[test]
    fn lengths_that_differ_are_refused() {
        let mut adam = Adam::new(AdamSettings::default(), &parameters(&[("a", 0.0), ("b", 0.0)]));
        assert!(adam.update(&mut [0.0; 2], &[0.0; 3]).is_err());
    }
}
