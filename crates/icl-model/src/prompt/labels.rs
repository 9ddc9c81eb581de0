//! Labels that are not the task's own answer: noise on those of the demonstrations, a guess in the query's place.
//!
//! ```text
//! s_i = f(W t_i) + noise z_i          demonstrations
//! s_q = 0                             masked
//! s_q = f(W t_q) + sd z_q             a guess
//! ```
//!
//! with independent standard normals `z` from a stream of their own, `(N + 1) d_s` a prompt, token by token. The target
//! stays `f(W t_q)`. Inputs and `W` do not depend on any of it, nor do the `z` on the noise's size: settings are
//! compared on the same prompts.

use super::PromptShape;
use super::words::Words;
use crate::ModelError;
use icl_numerics::lanes::{Kernel, Lane16, Lanes};
use icl_numerics::stream::Stream;

/// What stands in the places of the labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// Standard deviation of the noise on the labels of demonstrations.
    pub noise: f64,
    /// The query's.
    pub query: QueryLabel,
}

/// What stands in the place of the query's label.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryLabel {
    /// Zero.
    #[default]
    Masked,
    /// The target plus noise of this standard deviation.
    Guess(f64),
}

/// Largest standard deviation of noise.
const MOST_NOISE: f64 = 1e3;

impl Labels {
    /// Whether labels are the task's and the query's is masked.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub fn is_neutral(&self) -> bool {
        *self == Self::default()
    }

    /// Checks ranges.
    pub(crate) fn check(self) -> Result<(), ModelError> {
        let guess = match self.query {
            QueryLabel::Masked => 0.0,
            QueryLabel::Guess(noise) => noise,
        };
        for (field, found) in [("noise", self.noise), ("guess", guess)] {
            if !(0.0..=MOST_NOISE).contains(&found) {
                return Err(ModelError::setting(field, found, format!("0 to {MOST_NOISE}")));
            }
        }
        Ok(())
    }
}

/// Disturbs the labels of sixteen prompts whose query is masked.
pub(super) struct Disturb<'a> {
    pub(super) labels: Labels,
    pub(super) stream: &'a Stream,
    pub(super) first: u64,
    pub(super) shape: PromptShape,
    /// `[n_tokens, d, 16]`.
    pub(super) tokens: &'a mut [Lane16],
    /// `[d_s, 16]`.
    pub(super) targets: &'a [Lane16],
}

impl Kernel for Disturb<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let PromptShape { n_demos, d_t, d_s } = self.shape;
        let mut words = Words::new(l, self.stream, self.first);
        let mut normals = vec![Lane16::ZERO; ((n_demos + 1) * d_s).next_multiple_of(2)];
        for pair in normals.chunks_exact_mut(2) {
            let [a, b] = words.normal_pair();
            (pair[0], pair[1]) = (l.store(a), l.store(b));
        }
        let (demonstrations, query) = self.tokens.split_at_mut(n_demos * (d_t + d_s));
        let (of_demonstrations, of_query) = normals.split_at(n_demos * d_s);
        let noise = l.splat(self.labels.noise as f32);
        for (token, z) in
            demonstrations.chunks_exact_mut(d_t + d_s).zip(of_demonstrations.chunks_exact(d_s))
        {
            for (s, z) in token[d_t..].iter_mut().zip(z) {
                *s = l.store(l.mul_add(noise, l.load(z), l.load(s)));
            }
        }
        if let QueryLabel::Guess(noise) = self.labels.query {
            let noise = l.splat(noise as f32);
            for ((s, z), target) in query[d_t..].iter_mut().zip(of_query).zip(self.targets) {
                *s = l.store(l.mul_add(noise, l.load(z), l.load(target)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PromptBatch, PromptSampler};
    use super::*;
    use crate::task::{self, Scale};
    use icl_numerics::lanes::Isa;
    use icl_numerics::order;

    const SHAPE: PromptShape = PromptShape { n_demos: 5, d_t: 3, d_s: 1 };

    fn batch(labels: Labels, isa: Isa, n: usize) -> PromptBatch {
        let task = task::find("linear").unwrap();
        PromptSampler::new(task, Scale::Raw, SHAPE, 1, "labels", isa)
            .with_labels(labels)
            .batch(0, n)
    }

    fn guess(noise: f64, guess: f64) -> Labels {
        Labels { noise, query: QueryLabel::Guess(guess) }
    }

    /// Differences of the labels of two batches, prompt by prompt, `[n, N + 1]`; all else must be equal.
    fn differences(noisy: &PromptBatch, clean: &PromptBatch) -> Vec<Vec<f64>> {
        let row = |p: usize| {
            assert_eq!(noisy.target(p), clean.target(p));
            let (noisy, clean) = (noisy.prompt(p), clean.prompt(p));
            let tokens = noisy.chunks_exact(4).zip(clean.chunks_exact(4));
            tokens
                .map(|(a, b)| {
                    assert_eq!(a[..3], b[..3]);
                    f64::from(a[3]) - f64::from(b[3])
                })
                .collect()
        };
        (0..clean.n_prompts).map(row).collect()
    }

    #[test]
    fn noise_has_its_size_and_leaves_inputs_and_targets() {
        let n = 20_000;
        let clean = batch(Labels::default(), Isa::detect(), n);
        let rows = differences(&batch(guess(0.5, 2.0), Isa::detect(), n), &clean);
        for token in 0..6 {
            let column: Vec<f64> = (0..n)
                .map(|p| {
                    let target = if token == 5 { f64::from(clean.target(p)[0]) } else { 0.0 };
                    rows[p][token] - target
                })
                .collect();
            let sd = if token == 5 { 2.0 } else { 0.5 };
            let (mean, variance) =
                (order::mean(&column).unwrap(), order::variance(&column).unwrap());
            // four standard errors; the variance of a normal's square is 2
            assert!(mean.abs() < 4.0 * sd / (n as f64).sqrt(), "{token}: {mean}");
            let spread = 4.0 * (2.0 / n as f64).sqrt();
            assert!((variance / (sd * sd) - 1.0).abs() < spread, "{token}: {variance}");
        }
        let products: Vec<f64> = rows.iter().map(|row| row[0] * row[1]).collect();
        assert!(order::mean(&products).unwrap().abs() < 4.0 * 0.25 / (n as f64).sqrt());
    }

    #[test]
    fn noise_of_another_size_is_the_same_noise_and_none_is_the_clean_prompt() {
        let isa = Isa::detect();
        let clean = batch(Labels::default(), isa, 48);
        let [small, large] = [0.5, 2.0].map(|noise| {
            differences(&batch(Labels { noise, query: QueryLabel::Masked }, isa, 48), &clean)
        });
        for (small, large) in small.iter().flatten().zip(large.iter().flatten()) {
            // labels are rounded to single precision
            assert!((4.0 * small - large).abs() < 1e-5, "{small} {large}");
        }
        let exact = batch(guess(0.0, 0.0), isa, 48);
        for p in 0..48 {
            let tokens = exact.prompt(p);
            assert_eq!(tokens[..20], clean.prompt(p)[..20]);
            assert_eq!(tokens[23..], clean.target(p));
        }
    }

    #[test]
    fn noise_depends_on_neither_batch_nor_instruction_set() {
        let reference = batch(guess(1.0, 1.0), Isa::Portable, 64);
        for isa in Isa::available() {
            let all = batch(guess(1.0, 1.0), isa, 40);
            (0..40).for_each(|p| assert_eq!(all.prompt(p), reference.prompt(p), "{isa:?}"));
        }
    }

    #[test]
    fn neutral_labels_do_not_show_in_settings() {
        let mut settings = crate::settings::TrainSettings::base();
        assert!(!serde_json::to_string(&settings).unwrap().contains("labels"));
        settings.labels = guess(0.5, 1.0);
        let text = serde_json::to_string(&settings).unwrap();
        assert!(text.contains(r#""labels":{"noise":0.5,"query":{"guess":1.0}}"#), "{text}");
        assert_eq!(
            serde_json::from_str::<crate::settings::TrainSettings>(&text).unwrap(),
            settings
        );
        settings.labels.noise = f64::NAN;
        assert!(settings.check().unwrap_err().to_string().contains("`noise`"));
    }
}
