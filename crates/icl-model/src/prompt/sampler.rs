//! Prompts drawn sixteen at a time from a named stream.

use super::labels::Disturb;
use super::pool::Pool;
use super::words::Words;
use super::{CHUNK, Inputs, Labels, MapEntries, PromptBatch, PromptShape};
use crate::task::{Scale, Task};
use icl_numerics::lanes::{Isa, Kernel, LANES, Lane16, Lanes};
use icl_numerics::stream::Stream;
use icl_numerics::threads::Threads;
use std::sync::Arc;

/// Samples prompts of one task from a named stream.
#[derive(Clone)]
pub struct PromptSampler {
    /// Sizes.
    pub shape: PromptShape,
    task: &'static dyn Task,
    scale: Scale,
    inputs: Inputs,
    map: MapEntries,
    stream: Stream,
    labels: Labels,
    noise: Stream,
    /// Which task of a pool a prompt has.
    choices: Stream,
    pool: Option<Arc<Pool>>,
    isa: Isa,
}

impl PromptSampler {
    /// Prompts of `task` from the stream `(seed, "prompts/<purpose>")`; noise on labels from
    /// `(seed, "prompts/<purpose>/labels")`.
    ///
    /// The task is not part of the stream's name: tasks and settings are compared on the same `W`
    /// and `t`.
    pub fn new(
        task: &'static dyn Task,
        scale: Scale,
        shape: PromptShape,
        seed: u64,
        purpose: &str,
        isa: Isa,
    ) -> Self {
        let stream = Stream::new(seed, &format!("prompts/{purpose}"));
        let noise = Stream::new(seed, &format!("prompts/{purpose}/labels"));
        let choices = Stream::new(seed, &format!("prompts/{purpose}/pool"));
        let (inputs, map) = (Inputs::default(), MapEntries::default());
        let labels = Labels::default();
        Self { shape, task, scale, inputs, map, stream, labels, noise, choices, pool: None, isa }
    }

    /// The same inputs with tasks from a pool of `size`: `W` of prompt `p` is that of a task of the pool, drawn with
    /// replacement from the stream `(seed, "prompts/<purpose>/pool")` of the sampler.
    ///
    /// Task `k` is sample `k` of the stream `(pool_seed, "pool")`, so a smaller pool is a part of a larger one.
    #[must_use]
    pub fn with_pool(self, pool_seed: u64, size: usize) -> Self {
        let pool = Pool::new(pool_seed, size, self.shape.d_s * self.shape.d_t);
        Self { pool: Some(Arc::new(pool)), ..self }
    }

    /// The same with other inputs.
    #[must_use]
    pub fn with_inputs(self, inputs: Inputs) -> Self {
        Self { inputs, ..self }
    }

    /// The same with another distribution of `W`.
    #[must_use]
    pub fn with_map(self, map: MapEntries) -> Self {
        Self { map, ..self }
    }

    /// The same with other labels.
    #[must_use]
    pub fn with_labels(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }

    /// Writes prompts `16 g .. 16 (g + 1)` of the stream into `tokens` `[n_tokens, d, 16]` and `targets` `[d_s, 16]`.
    pub fn sample_group(&self, g: u64, tokens: &mut [Lane16], targets: &mut [Lane16]) {
        let first = g * LANES as u64;
        self.isa.run(Draw { sampler: self, first, tokens, targets });
        // the query's label stands in its token until the task has answered
        let (shape, d) = (self.shape, self.shape.d());
        for token in tokens.chunks_exact_mut(d) {
            self.task.respond(self.isa, &mut token[shape.d_t..]);
        }
        let query = &mut tokens[shape.n_demos * d + shape.d_t..];
        targets.copy_from_slice(query);
        query.fill(Lane16::ZERO);
        if !self.labels.is_neutral() {
            let (labels, stream) = (self.labels, &self.noise);
            self.isa.run(Disturb { labels, stream, first, shape, tokens, targets });
        }
    }

    /// What the prompts are drawn from.
    pub fn streams(&self) -> Streams<'_> {
        Streams {
            prompts: self.stream.key(),
            labels: self.noise.key(),
            choices: self.choices.key(),
            pool: self.pool.as_deref().map(Pool::parts),
        }
    }

    /// Samples the prompts `first .. first + n` chunk by chunk, as training does, and drops them: the cost of
    /// sampling alone.
    pub fn visit(&self, threads: &Threads, first: u64, n: usize) {
        let per_group = self.shape.n_tokens() * self.shape.d();
        let groups = n.div_ceil(LANES);
        let buffers = || (vec![Lane16::ZERO; per_group], vec![Lane16::ZERO; self.shape.d_s]);
        let chunk = |(tokens, targets): &mut (Vec<Lane16>, Vec<Lane16>), chunk: usize| {
            for g in chunk * CHUNK..((chunk + 1) * CHUNK).min(groups) {
                self.sample_group(first / LANES as u64 + g as u64, tokens, targets);
                std::hint::black_box(&tokens);
            }
        };
        threads.map(groups.div_ceil(CHUNK), buffers, chunk);
    }

    /// The prompts `first .. first + n` of the stream; `first` is rounded down to a multiple of 16.
    pub fn batch(&self, first: u64, n: usize) -> PromptBatch {
        let groups = n.div_ceil(LANES);
        let per_group = self.shape.n_tokens() * self.shape.d();
        let mut tokens = vec![Lane16::ZERO; groups * per_group];
        let mut targets = vec![Lane16::ZERO; groups * self.shape.d_s];
        let pairs =
            tokens.chunks_exact_mut(per_group).zip(targets.chunks_exact_mut(self.shape.d_s));
        for (g, (tokens, targets)) in pairs.enumerate() {
            self.sample_group(first / LANES as u64 + g as u64, tokens, targets);
        }
        PromptBatch { shape: self.shape, n_prompts: n, tokens, targets }
    }
}

/// What a sampler draws from, for one on another device: the keys of its streams, and its pool.
#[derive(Debug, Clone, Copy)]
pub struct Streams<'a> {
    /// `W` and inputs.
    pub prompts: [u32; 8],
    /// Noise on labels.
    pub labels: [u32; 8],
    /// Which task of the pool.
    pub choices: [u32; 8],
    /// The number of tasks in the pool and their maps `[size, d_s, d_t]`, if there is one.
    pub pool: Option<(usize, &'a [f32])>,
}

/// Draws `W` and `t` for sixteen prompts and writes `[t; c W t]` into every token.
struct Draw<'a> {
    sampler: &'a PromptSampler,
    first: u64,
    tokens: &'a mut [Lane16],
    targets: &'a mut [Lane16],
}

impl Kernel for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let PromptShape { d_t, d_s, .. } = self.sampler.shape;
        let stream = &self.sampler.stream;
        let mut words = Words::new(l, stream, self.first);
        let mut weights = vec![Lane16::ZERO; (d_s * d_t).next_multiple_of(2)];
        for pair in weights.chunks_exact_mut(2) {
            let [a, b] = words.map_entries(self.sampler.map);
            (pair[0], pair[1]) = (l.store(a), l.store(b));
        }
        if let Some(pool) = &self.sampler.pool {
            // the words above are drawn all the same: inputs do not depend on the pool
            let words = self.sampler.choices.block_on_lanes(l, self.first, 0);
            pool.choose(l.store_u(words[0]), &mut weights);
        }
        let factor = l.splat(self.sampler.scale.factor(d_t));
        debug_assert_eq!(self.targets.len(), d_s);
        for token in self.tokens.chunks_exact_mut(d_t + d_s) {
            let (t, s) = token.split_at_mut(d_t);
            match self.sampler.inputs {
                Inputs::Uniform => {
                    for t in t.iter_mut() {
                        *t = l.store(words.symmetric_uniform());
                    }
                }
                // an odd last entry leaves its partner unused
                Inputs::Normal => {
                    for pair in t.chunks_mut(2) {
                        for (t, x) in pair.iter_mut().zip(words.normal_pair()) {
                            *t = l.store(x);
                        }
                    }
                }
            }
            for (s, w) in s.iter_mut().zip(weights.chunks_exact(d_t)) {
                let mut sum = l.splat(0.0);
                for (w, t) in w.iter().zip(t.iter()) {
                    sum = l.mul_add(l.load(w), l.load(t), sum);
                }
                *s = l.store(l.mul(sum, factor));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task;
    use icl_numerics::largest;

    fn sampler(isa: Isa) -> PromptSampler {
        let shape = PromptShape::new(5, 3, 2).unwrap();
        PromptSampler::new(task::find("linear").unwrap(), Scale::Raw, shape, 1, "test", isa)
    }

    #[test]
    fn a_prompt_does_not_depend_on_its_batch_or_the_instruction_set() {
        let reference = sampler(Isa::Portable).batch(0, 64);
        for isa in Isa::available() {
            let part = sampler(isa).batch(32, 20);
            for p in 0..20 {
                assert_eq!(part.prompt(p), reference.prompt(32 + p), "{isa:?}");
                assert_eq!(part.target(p), reference.target(32 + p));
            }
        }
    }

    #[test]
    fn demonstrations_and_query_obey_one_linear_map_and_the_label_is_masked() {
        let batch = sampler(Isa::detect()).batch(0, 16);
        for p in 0..16 {
            let tokens = batch.prompt(p);
            assert_eq!(&tokens[5 * 5 + 3..], &[0.0, 0.0]);
            // four inputs in three dimensions: the fourth label follows from the first three
            let rows: Vec<&[f32]> = tokens.chunks(5).collect();
            let (a, b, c) = (rows[0], rows[1], rows[2]);
            let det = |x: &[f32], y: &[f32], z: &[f32]| {
                f64::from(x[0])
                    * (f64::from(y[1]) * f64::from(z[2]) - f64::from(y[2]) * f64::from(z[1]))
                    - f64::from(x[1])
                        * (f64::from(y[0]) * f64::from(z[2]) - f64::from(y[2]) * f64::from(z[0]))
                    + f64::from(x[2])
                        * (f64::from(y[0]) * f64::from(z[1]) - f64::from(y[1]) * f64::from(z[0]))
            };
            let q = rows[5];
            let whole = det(a, b, c);
            let mix = [det(q, b, c) / whole, det(a, q, c) / whole, det(a, b, q) / whole];
            let predicted: f64 =
                mix.iter().zip([a, b, c]).map(|(m, row)| m * f64::from(row[3])).sum();
            let scale = largest::at_least(largest::magnitude(mix.iter().copied()), 1.0);
            assert!((predicted - f64::from(batch.target(p)[0])).abs() < 1e-5 * scale / whole.abs());
        }
    }

    #[test]
    fn second_moment_of_the_linear_target_is_a_third_of_its_inputs() {
        let shape = PromptShape::new(1, 11, 1).unwrap();
        let task = task::find("linear").unwrap();
        let batch = PromptSampler::new(task, Scale::Raw, shape, 0, "moment", Isa::detect())
            .batch(0, 40_000);
        // E[s^2] = d_t / 3; var(s^2) = E[s^4] - (d_t/3)^2 with E[s^4] < 3 (d_t/3)^2
        let bound = 6.0 * (11.0 / 3.0) * (2.0_f64 / 40_000.0).sqrt();
        assert!((batch.mean_square_target() - 11.0 / 3.0).abs() < bound);
    }

    #[test]
    fn absurd_sizes_are_refused_by_name() {
        let message = PromptShape::new(0, 1, 1).unwrap_err().to_string();
        assert!(message.contains("`n_demos`") && message.contains("1 to 4096"), "{message}");
    }
}
