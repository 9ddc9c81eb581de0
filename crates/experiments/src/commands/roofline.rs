//! `icl bench roofline`: what a training step has to compute, how fast this machine computes it at best,
//! and which part of that the step reaches.
//!
//! Counted per step are the fused multiply-adds and exponentials that the mathematics needs, one lane
//! each; sampling, sums and stores are left out, so the floor is a lower bound. The two kinds of work
//! share the execution units: their times are added.
#![allow(clippy::inline_always, reason = "a call that is not inlined loses the instruction set")]

use crate::cli::RooflineArguments;
use crate::clock;
use crate::console::say;
use crate::host::{self, Host};
use crate::outcome::Outcome;
use crate::timing::{measure, median, step_settings};
use crate::workspace::Workspace;
use artifact::manifest::canonical_json;
use artifact::output;
use icl_model::machine::Machine;
use icl_numerics::elementary::exp2_normal;
use icl_numerics::lanes::{Isa, Kernel, LANES, Lane16, Lanes};
use icl_numerics::largest;
use icl_numerics::threads::Threads;
use serde::{Deserialize, Serialize};

/// Where the measurement stands that ARCHITECTURE.md shows.
pub(crate) const ROOFLINE: &str = "benches/roofline.json";
const BATCH: usize = 1024;
const TOKENS: usize = 16;
const D: usize = 12;

/// A machine's rates and the steps measured on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Roofline {
    pub(crate) processor: String,
    pub(crate) isa: String,
    pub(crate) threads: usize,
    /// Billions of fused multiply-adds per second, all threads.
    pub(crate) fma_rate: f64,
    /// Billions of exponentials per second, all threads.
    pub(crate) exp_rate: f64,
    pub(crate) rows: Vec<Row>,
}

/// One variant of the step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) variant: String,
    /// Millions of fused multiply-adds per step.
    pub(crate) fma: f64,
    /// Millions of exponentials per step.
    pub(crate) exp: f64,
    pub(crate) floor_ms: f64,
    pub(crate) measured_ms: f64,
}

/// Independent chains of fused multiply-adds, enough to hide their latency.
struct FmaRate(usize);

impl Kernel for FmaRate {
    type Output = f32;
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f32 {
        let mut sums = [l.splat(1.0); 10];
        let [a, b] = std::hint::black_box([0.999_f32, 2e-3]).map(|x| l.splat(x));
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = l.mul_add(*sum, a, b);
            }
        }
        let mut total = l.splat(0.0);
        for sum in sums {
            total = l.add(total, sum);
        }
        l.store(total).sum()
    }
}

/// Exponentials of a buffer that stays in the first cache.
struct ExpRate<'a>(&'a mut [Lane16], usize);

impl Kernel for ExpRate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for _ in 0..self.1 {
            for x in self.0.iter_mut() {
                // 2^x - 1.5 keeps the arguments in range and the loop from being dropped
                *x = l.store(l.sub(exp2_normal(l, l.load(x)), l.splat(1.5)));
            }
        }
    }
}

/// Best seconds of five runs of `work` on every thread at once.
fn best(threads: &Threads, work: impl Fn() + Sync) -> f64 {
    let once = || {
        let start = clock::now();
        threads.map(threads.number(), || (), |(), _| work());
        start.elapsed().as_secs_f64()
    };
    largest::least((0..5).map(|_| once()))
}

fn rates(isa: Isa, threads: &Threads) -> (f64, f64) {
    let (rounds, sweeps, width) = (4_000_000, 20_000, 64);
    let fma = best(threads, || {
        std::hint::black_box(isa.run(FmaRate(std::hint::black_box(rounds))));
    });
    let exp = best(threads, || {
        let mut buffer = vec![Lane16([0.25; LANES]); width];
        isa.run(ExpRate(&mut buffer, sweeps));
        std::hint::black_box(&buffer);
    });
    let count = |operations: usize| (operations * LANES * threads.number()) as f64 / 1e9;
    (count(rounds * 10) / fma, count(sweeps * width) / exp)
}

/// Multiply-adds and exponentials of a step in millions.
fn work(d_r: usize) -> (f64, f64) {
    let (n, d, r) = (TOKENS as f64, D as f64, d_r as f64);
    let (fma, exp) = if d_r == 0 {
        // q, u = W_K^T q, scores, z, output; backward: d_u = sum ds h, dW_K, dW_Q, d_q, coefficients
        (6.0 * d * d + 4.0 * n * d, n)
    } else {
        // keys and their gradient, exponents, estimates, moments; q and its gradient
        let projections = 2.0 * n * d * d + 2.0 * d * d;
        let features = (n + 1.0) * r * d + n * r + n * r * d;
        (projections + features + 4.0 * n * d, (n + 1.0) * r)
    };
    (fma * BATCH as f64 / 1e6, exp * BATCH as f64 / 1e6)
}

/// Runs the command.
pub(crate) fn roofline(
    workspace: &Workspace,
    arguments: &RooflineArguments,
    isa: Isa,
) -> anyhow::Result<Outcome> {
    let threads = host::jobs(arguments.threads);
    let pool = Threads::new(threads)?;
    let (fma_rate, exp_rate) = rates(isa, &pool);
    let machine = Machine::cpu(isa, pool);
    let mut rows = Vec::new();
    for (d_r, steps) in [(0, 3000), (100, 1000), (1200, 150)] {
        let (fma, exp) = work(d_r);
        let (mut times, _) = measure(step_settings(d_r, steps), &machine)?;
        let variant =
            if d_r == 0 { "softmax".to_owned() } else { format!("positive, d_r = {d_r}") };
        let floor_ms = fma / fma_rate + exp / exp_rate;
        rows.push(Row { variant, fma, exp, floor_ms, measured_ms: median(&mut times) });
    }
    let processor = Host::own().processor().unwrap_or_else(|| "unknown".into());
    let isa = isa.name().to_owned();
    let roofline = Roofline { processor, isa, threads, fma_rate, exp_rate, rows };
    say!("{fma_rate:.1} G multiply-adds/s, {exp_rate:.2} G exponentials/s, {threads} threads");
    for row in &roofline.rows {
        let part = 100.0 * row.floor_ms / row.measured_ms;
        say!(
            "{:<22} floor {:.3} ms, measured {:.3} ms: {part:.0} %",
            row.variant,
            row.floor_ms,
            row.measured_ms
        );
    }
    if arguments.write {
        output::write_atomically(&workspace.path(ROOFLINE), &canonical_json(&roofline)?)?;
    }
    Ok(Outcome::Reproduced)
}
