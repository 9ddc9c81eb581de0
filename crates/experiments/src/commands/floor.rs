//! `icl floor`: the lowest loss that one or two softmax heads can reach on the linear task.

use crate::cli::FloorArguments;
use crate::console::{print_wrapped, say};
use crate::host;
use crate::outcome::Outcome;
use dual_model::floor::{self, Branch, Floor, Head, Problem, Sampling};
use icl_numerics::threads::Threads;
use serde_json::{Value, json};

/// Runs the command.
pub(crate) fn floor(arguments: &FloorArguments) -> anyhow::Result<Outcome> {
    let problem = Problem {
        n_demos: arguments.n,
        d_t: arguments.d_t,
        half_width: arguments.half_width,
        heads: arguments.heads,
        query: arguments.query.query(),
        negatives: arguments.negative,
    };
    let sampling = Sampling { prompts: arguments.prompts, seed: arguments.seed };
    let threads = Threads::new(host::jobs(None))?;
    // the library's names are those of the options
    let found =
        floor::floor(&problem, sampling, &threads).map_err(|error| anyhow::anyhow!("--{error}"))?;
    if arguments.json {
        say!("{:#}", record(arguments, &found));
    } else {
        print(arguments, &found);
    }
    Ok(Outcome::Reproduced)
}

/// The result for programs; numbers of two heads are lists.
fn record(arguments: &FloorArguments, found: &Floor) -> Value {
    let numbers = |branch: &Branch, number: fn(&Head) -> f64| match &branch.heads[..] {
        [head] => json!(number(head)),
        heads => heads.iter().map(number).collect(),
    };
    let branch = |branch: &Branch| {
        json!({
            "branch": branch.kind.name(),
            "nmse": branch.nmse,
            "standard_error": branch.standard_error,
            "c": numbers(branch, |head| head.c),
            "beta": numbers(branch, |head| head.beta),
            "query_mass": numbers(branch, |head| head.query_mass),
        })
    };
    json!({
        "n": arguments.n,
        "d_t": arguments.d_t,
        "heads": arguments.heads,
        "query": arguments.query.name(),
        "half_width": arguments.half_width,
        "negative": arguments.negative.map(|n| json!({ "m": n.m, "beta": n.beta })),
        "prompts": found.prompts,
        "seed": arguments.seed,
        "branches": found.branches.iter().map(branch).collect::<Vec<_>>(),
        "floor": found.lowest().nmse,
    })
}

/// The result for readers.
fn print(arguments: &FloorArguments, found: &Floor) {
    say!(
        "{} head{}, N = {}, d_t = {}, inputs from U(-{w}, {w}), query {} the softmax",
        arguments.heads,
        if arguments.heads == 1 { "" } else { "s" },
        arguments.n,
        arguments.d_t,
        if arguments.query.name() == "in" { "in" } else { "outside" },
        w = arguments.half_width,
    );
    if let Some(negatives) = arguments.negative {
        say!("negatives: m = {}, beta = {}", negatives.m, negatives.beta);
    }
    say!(
        "{:<9} {:>8} {:>9} {:>12} {:>12} {:>11}",
        "branch",
        "nmse",
        "error",
        "c",
        "beta",
        "query mass"
    );
    for branch in &found.branches {
        for (i, head) in branch.heads.iter().enumerate() {
            let [name, nmse, error] = if i == 0 {
                let loss = format!("{:.5}", branch.nmse);
                [branch.kind.name().into(), loss, format!("{:.1e}", branch.standard_error)]
            } else {
                [const { String::new() }; 3]
            };
            let [c, beta] = [head.c, head.beta].map(|x| format!("{x:.4}"));
            say!("{name:<9} {nmse:>8} {error:>9} {c:>12} {beta:>12} {:>11.5}", head.query_mass);
        }
    }
    let lowest = found.lowest();
    say!("floor     {:.5}, {}", lowest.nmse, lowest.kind.name());
    let words = format!(
        "Scores are beta x_i . x_q, outputs c sum_i p_i y_i; nmse is relative to E y², its standard error over {} prompts.",
        found.prompts
    );
    print_wrapped(&words, 78);
}
