//! The choice of a method's settings on problems of its own, and whether its grid was wide enough.

use super::method::{Grids, Method, Parameter};
use crate::named::named;
use crate::regression::{Predictor, Problem};
use anyhow::Context as _;

named! {
    /// Where on its grid a chosen value lies.
    pub(super) enum Location {
        /// Between candidates that are worse, or no better.
        Inside = "inside",
        /// At an end beyond which nothing else lies.
        Limit = "limit",
        /// At an end, better than its neighbour: beyond might be better still.
        Edge = "edge",
    }
}

/// A value that was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub(super) value: f64,
    pub(super) location: Location,
}

/// A method with the settings that do best on `problems`.
pub(super) fn tuned(
    method: Method,
    grids: &Grids,
    problems: &[Problem],
) -> anyhow::Result<(Predictor, Vec<Choice>)> {
    let first = problems.first().context("tuning_problems: found 0, expected at least 1")?;
    let (n, d) = (first.x.len(), first.query.len());
    let parameters = method.parameters(grids, n);
    let loss = |indices: &[usize]| {
        let values: Vec<f64> =
            parameters.iter().zip(indices).map(|(p, i)| p.candidates[*i]).collect();
        let predictor = method.predictor(&values, n, d);
        problems.iter().map(|problem| predictor.squared_error(problem)).sum::<f64>()
    };
    let best = if parameters.is_empty() { Vec::new() } else { lowest(&parameters, &loss) };
    let choices: Vec<Choice> = (0..parameters.len())
        .map(|axis| Choice {
            value: parameters[axis].candidates[best[axis]],
            location: location(&parameters, &best, axis, &loss),
        })
        .collect();
    let values: Vec<f64> = choices.iter().map(|choice| choice.value).collect();
    Ok((method.predictor(&values, n, d), choices))
}

/// Indices of the lowest loss among all combinations.
fn lowest(parameters: &[Parameter], loss: &impl Fn(&[usize]) -> f64) -> Vec<usize> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    for parameter in parameters {
        let longer = |indices: &Vec<usize>| {
            let indices = indices.clone();
            (0..parameter.candidates.len()).map(move |i| [&indices[..], &[i]].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    let mut best = (f64::INFINITY, all[0].clone());
    for indices in all {
        let value = loss(&indices);
        if value < best.0 {
            best = (value, indices);
        }
    }
    best.1
}

/// Where the chosen value of one parameter lies, the others held.
fn location(
    parameters: &[Parameter],
    best: &[usize],
    axis: usize,
    loss: &impl Fn(&[usize]) -> f64,
) -> Location {
    let Parameter { candidates, limits, .. } = &parameters[axis];
    let (index, last) = (best[axis], candidates.len() - 1);
    let (neighbour, limit) = match index {
        _ if last == 0 => return Location::Limit,
        0 => (1, limits[0]),
        i if i == last => (last - 1, limits[1]),
        _ => return Location::Inside,
    };
    let mut other = best.to_vec();
    other[axis] = neighbour;
    // rounding alone does not make an end better
    match loss(&other) > loss(best) * (1.0 + 1e-9) {
        _ if limit => Location::Limit,
        true => Location::Edge,
        false => Location::Inside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(limits: [bool; 2]) -> Vec<Parameter> {
        vec![Parameter { name: "x", candidates: vec![0.0, 1.0, 2.0], limits }]
    }

    #[test]
    fn the_lowest_is_found_and_an_end_is_told_from_a_limit_and_from_a_flat_loss() {
        let at = |centre: f64| move |i: &[usize]| (i[0] as f64 - centre) * (i[0] as f64 - centre);
        let locate = |centre: f64, limits| {
            let (parameters, loss) = (parameter(limits), at(centre));
            let best = lowest(&parameters, &loss);
            (best[0], location(&parameters, &best, 0, &loss))
        };
        assert_eq!(locate(1.1, [false; 2]), (1, Location::Inside));
        assert_eq!(locate(5.0, [true, false]), (2, Location::Edge));
        assert_eq!(locate(5.0, [false, true]), (2, Location::Limit));
        assert_eq!(locate(-5.0, [false; 2]), (0, Location::Edge));
        let flat = |_: &[usize]| 3.0;
        let parameters = parameter([false; 2]);
        let best = lowest(&parameters, &flat);
        assert_eq!(location(&parameters, &best, 0, &flat), Location::Inside);
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_never_the_lowest() {
        let loss = |i: &[usize]| if i[0] == 0 { f64::NAN } else { i[0] as f64 };
        assert_eq!(lowest(&parameter([false; 2]), &loss), [1]);
    }
}
