//! Adam with a state that can be saved, and clipping by the global norm.
//!
//! ```text
//! m <- b1 m + (1-b1) g,   v <- b2 v + (1-b2) g^2
//! w <- w - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
//! ```
//!
//! Source: D. Kingma, J. Ba, "Adam: a method for stochastic optimization" (2015).

use icl_numerics::{math, order};

/// Settings of Adam.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
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
}

impl Default for AdamSettings {
    /// The values of the source; step size 1e-2 and no clipping.
    fn default() -> Self {
        Self { learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clip: 0.0 }
    }
}

/// The optimiser's state: moments and the number of steps taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    settings: AdamSettings,
    /// First moments, packed like the parameters.
    pub first: Vec<f32>,
    /// Second moments.
    pub second: Vec<f32>,
    /// Steps taken.
    pub step: u64,
}

impl Adam {
    /// A fresh state for `n` parameters.
    pub fn new(settings: AdamSettings, n: usize) -> Self {
        Self { settings, first: vec![0.0; n], second: vec![0.0; n], step: 0 }
    }

    /// One step; `gradient` is scaled to the clipping norm first.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn update(&mut self, parameters: &mut [f32], gradient: &[f32]) {
        assert_eq!(parameters.len(), self.first.len(), "parameters");
        assert_eq!(gradient.len(), self.first.len(), "gradient");
        self.step += 1;
        let AdamSettings { learning_rate, beta1, beta2, epsilon, clip } = self.settings;
        let t = i32::try_from(self.step).unwrap_or(i32::MAX);
        let rate = (learning_rate / (1.0 - math::powi(beta1, t))) as f32;
        let correction = (1.0 / (1.0 - math::powi(beta2, t))) as f32;
        let scale = clip_factor(gradient, clip);
        let (b1, b2, epsilon) = (beta1 as f32, beta2 as f32, epsilon as f32);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((w, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            let g = g * scale;
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            *w -= rate * *m / ((*v * correction).sqrt() + epsilon);
        }
    }
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

    #[test]
    fn first_step_is_the_learning_rate_against_the_sign() {
        // t = 1: m/(1-b1) = g, v/(1-b2) = g^2, so the step is lr g / (|g| + eps)
        let mut adam = Adam::new(AdamSettings::default(), 2);
        let mut w = [1.0, 1.0];
        adam.update(&mut w, &[0.5, -3.0]);
        assert!((w[0] - 0.99).abs() < 1e-6 && (w[1] - 1.01).abs() < 1e-6, "{w:?}");
    }

    #[test]
    fn clipping_scales_to_the_norm_and_leaves_small_gradients() {
        assert_eq!(clip_factor(&[3.0, 4.0], 10.0), 1.0);
        assert_eq!(clip_factor(&[3.0, 4.0], 2.5), 0.5);
        assert_eq!(clip_factor(&[3.0, 4.0], 0.0), 1.0);
    }
}
