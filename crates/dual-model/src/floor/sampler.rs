//! Estimates over many blocks of prompts, in an order that no thread can change.

use super::moments::{Estimate, Moments, Scales};
use super::problem::{Problem, Query, Sampling};
use super::prompts::{Block, QUERIES, Sizes};
use super::smoother::{Reading, Smoother};
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::threads::Threads;

/// Blocks whose moments are added up by one thread.
const CHUNK: usize = 64;

/// Bounds of the number of queries where none is asked for; the upper one for prompts of up to so many numbers is four times
/// as high, since they take little time and vary much.
const FEWEST: u64 = 1 << 17;
const MOST: u64 = 1 << 22;
const FEW_NUMBERS: usize = 64;

/// Largest standard error, relative to the loss, that ends the sampling.
const WANTED: f64 = 4.5e-4;

/// Numbers that the blocks of a search may hold, and how many blocks at least and at most.
const SEARCH_NUMBERS: usize = 2_000_000;
const SEARCH_BLOCKS: [usize; 2] = [64, 1024];

/// Scores of heads, for inputs of half-width one, and how output scales are tied.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// One a head.
    pub(super) betas: Vec<f64>,
    /// Of two heads.
    pub(super) scales: Scales,
}

/// Prompts of a problem.
pub(super) struct Sampler<'a> {
    sampling: Sampling,
    threads: &'a Threads,
    sizes: Sizes,
    reading: Reading,
    /// `E |x_q|^2` at half-width one.
    target: f64,
}

impl<'a> Sampler<'a> {
    /// For a checked problem.
    pub(super) fn new(problem: &Problem, sampling: Sampling, threads: &'a Threads) -> Self {
        // of weight zero they are none
        let negatives = problem.negatives.filter(|negatives| negatives.beta != 0.0);
        let m = negatives.map_or(0, |negatives| negatives.m);
        Self {
            sampling,
            threads,
            sizes: Sizes { n: problem.n_demos, d: problem.d_t, m },
            reading: Reading {
                query_inside: problem.query == Query::Inside,
                negatives: negatives.map(|negatives| (negatives.beta / m as f64, m)),
            },
            target: problem.d_t as f64 / 3.0,
        }
    }

    /// The prompts on which scores are searched; the losses are from others.
    pub(super) fn for_search(&self) -> Vec<Block> {
        let Sizes { n, d, m } = self.sizes;
        let numbers = n * (d + QUERIES + m / 2) + QUERIES * d;
        let blocks = (SEARCH_NUMBERS / numbers).clamp(SEARCH_BLOCKS[0], SEARCH_BLOCKS[1]);
        let stream = Stream::new(self.sampling.seed, "floor/search");
        self.threads.map(blocks, || (), |(), i| Block::draw(&stream, i as u64, self.sizes))
    }

    /// A candidate's loss on given prompts.
    pub(super) fn estimate_on(&self, blocks: &[Block], candidate: &Candidate) -> Estimate {
        let chunks: Vec<&[Block]> = blocks.chunks(CHUNK).collect();
        let smoother = || Smoother::new(self.sizes.n, self.sizes.d);
        let moments = self.threads.map(chunks.len(), smoother, |smoother, chunk| {
            let mut moments = Moments::NONE;
            for block in chunks[chunk] {
                moments.add(&smoother.read(block, self.reading, &candidate.betas));
            }
            moments
        });
        let mut all = Moments::NONE;
        moments.iter().for_each(|moments| all.join(moments));
        self.finish(&all, candidate)
    }

    /// Losses of candidates on the same fresh prompts, and how many queries these have.
    pub(super) fn estimates(&self, candidates: &[Candidate]) -> (Vec<Estimate>, u64) {
        let chunk = (CHUNK * QUERIES) as u64;
        let mut all = vec![Moments::NONE; candidates.len()];
        let mut done = 0;
        let small = self.sizes.n * self.sizes.d <= FEW_NUMBERS;
        let most = (if small { 4 * MOST } else { MOST }) / chunk;
        let mut wanted = self.sampling.prompts.unwrap_or(FEWEST).div_ceil(chunk);
        loop {
            self.add_chunks(candidates, done..wanted, &mut all);
            done = wanted;
            let finish = |(moments, candidate)| self.finish(moments, candidate);
            let estimates: Vec<Estimate> = all.iter().zip(candidates).map(finish).collect();
            let relative = estimates.iter().map(|found| found.standard_error / found.nmse);
            let excess = largest::value(relative) / WANTED;
            // NaN ends the sampling, and shows in the result
            let more = self.sampling.prompts.is_none() && done < most && excess > 1.0;
            if !more {
                return (estimates, done * chunk);
            }
            // errors fall as the root of the number; a twentieth more, or it would often fall short
            let factor = largest::at_most(1.05 * excess * excess, 2.0);
            wanted = ((done as f64 * factor).ceil() as u64).min(most);
        }
    }

    /// Adds the moments of some chunks of fresh prompts, in their order.
    fn add_chunks(
        &self,
        candidates: &[Candidate],
        chunks: std::ops::Range<u64>,
        all: &mut [Moments],
    ) {
        /// Chunks whose moments are held at a time.
        const AT_A_TIME: u64 = 64;
        let stream = Stream::new(self.sampling.seed, "floor/loss");
        let smoother = || Smoother::new(self.sizes.n, self.sizes.d);
        for first in chunks.clone().step_by(AT_A_TIME as usize) {
            let number = AT_A_TIME.min(chunks.end - first) as usize;
            let parts = self.threads.map(number, smoother, |smoother, chunk| {
                let mut parts = vec![Moments::NONE; candidates.len()];
                let start = (first + chunk as u64) * CHUNK as u64;
                for index in start..start + CHUNK as u64 {
                    let block = Block::draw(&stream, index, self.sizes);
                    for (part, candidate) in parts.iter_mut().zip(candidates) {
                        part.add(&smoother.read(&block, self.reading, &candidate.betas));
                    }
                }
                parts
            });
            for part in &parts {
                all.iter_mut().zip(part).for_each(|(all, part)| all.join(part));
            }
        }
    }

    fn finish(&self, moments: &Moments, candidate: &Candidate) -> Estimate {
        moments.estimate(candidate.betas.len(), candidate.scales, self.target)
    }
}
