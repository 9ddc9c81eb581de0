//! A finite pool of tasks.

use icl_numerics::lanes::{LANES, Lane16};
use icl_numerics::stream::Stream;

/// `W` of finitely many tasks.
pub(super) struct Pool {
    size: u64,
    /// `[size, d_s, d_t]`.
    weights: Vec<f32>,
}

impl Pool {
    /// Tasks with `per_task` independent standard normals each; task `k` is sample `k` of the stream `(seed, "pool")`.
    pub(super) fn new(seed: u64, size: usize, per_task: usize) -> Self {
        let stream = Stream::new(seed, "pool");
        let one = |k: usize| {
            let mut draws = stream.sample(k as u64);
            (0..per_task).map(|_| draws.normal() as f32).collect::<Vec<_>>()
        };
        Self { size: size as u64, weights: (0..size).flat_map(one).collect() }
    }

    /// The number of tasks, and their maps `[size, d_s, d_t]`.
    pub(super) fn parts(&self) -> (usize, &[f32]) {
        (self.size as usize, &self.weights)
    }

    /// `W` of the task that every lane's word chooses, by multiplication (bias at most `size / 2^32`).
    pub(super) fn choose(&self, words: [u32; LANES], weights: &mut [Lane16]) {
        let per_task = self.weights.len() / self.size as usize;
        for (lane, word) in words.into_iter().enumerate() {
            let task = ((u64::from(word) * self.size) >> 32) as usize;
            let own = &self.weights[task * per_task..(task + 1) * per_task];
            weights.iter_mut().zip(own).for_each(|(all, w)| all.0[lane] = *w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{PromptSampler, PromptShape};
    use crate::task::{self, Scale};
    use icl_numerics::lanes::Isa;

    #[test]
    fn tasks_of_a_pool_come_back_with_the_same_inputs_as_without_it() {
        let (isa, d_t) = (Isa::detect(), 3);
        let shape = PromptShape::new(5, d_t, 1).unwrap();
        let linear = task::find("linear").unwrap();
        let on = |isa| PromptSampler::new(linear, Scale::Raw, shape, 1, "test", isa);
        let free = on(isa);
        let batch = |sampler: &PromptSampler| sampler.batch(0, 400);
        let pool = |size: usize| batch(&free.clone().with_pool(9, size));
        let (unlimited, four) = (batch(&free), pool(4));
        let stream = Stream::new(9, "pool");
        let mut counts = [0; 4];
        for p in 0..400 {
            let (tokens, reference) = (four.prompt(p), unlimited.prompt(p));
            // which of the pool's tasks answers the first demonstration
            let row = &tokens[..=d_t];
            assert_eq!(row[..d_t], reference[..d_t]);
            let fits = |k: &u64| {
                let mut draws = stream.sample(*k);
                let label: f64 = row[..d_t].iter().map(|t| draws.normal() * f64::from(*t)).sum();
                (label - f64::from(row[d_t])).abs() < 1e-5
            };
            let task = (0..4).find(fits).expect("a task of the pool");
            counts[task as usize] += 1;
        }
        // binomial(400, 1/4): mean 100, standard deviation 8.7
        assert!(counts.iter().all(|n| (60..140).contains(n)), "{counts:?}");
        // a pool of one has one task; portable lanes choose the same
        let portable = on(Isa::Portable).with_pool(9, 4).batch(0, 400);
        assert!((0..400).all(|p| portable.prompt(p) == four.prompt(p)));
        let one = pool(1);
        let label = |p: usize| f64::from(one.target(p)[0]);
        let mut draws = stream.sample(0);
        let w: Vec<f64> = (0..d_t).map(|_| draws.normal()).collect();
        for p in 0..400 {
            let query = &one.prompt(p)[5 * (d_t + 1)..];
            let want: f64 = query.iter().zip(&w).map(|(t, w)| f64::from(*t) * w).sum();
            assert!((label(p) - want).abs() < 1e-5);
        }
    }
}
