//! The training runs that cells ask for, found in their specifications.

use artifact::cell::Cell;
use icl_model::settings::{RunSettings, Watched};
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeMap;

/// A run's settings as JSON.
pub(super) fn name(settings: &RunSettings) -> String {
    serde_json::to_string(settings).unwrap_or_default()
}

/// All layers and stacks that cells train, each once with every step at which some cell looks at it: every part of a
/// specification that reads as such.
///
/// A run that no cell asks for costs time, never a number.
pub(super) fn wanted(cells: &[&Cell]) -> Vec<Watched> {
    let mut found = BTreeMap::new();
    for cell in cells {
        collect(&cell.specification, &mut found);
    }
    found.into_values().collect()
}

fn collect(value: &Value, found: &mut BTreeMap<String, Watched>) {
    let mut add = |run: RunSettings, at: Vec<usize>| {
        let watched = found.entry(name(&run)).or_insert(Watched { run, at: Vec::new() });
        watched.at.extend(at);
        watched.at.sort_unstable();
        watched.at.dedup();
    };
    if let Ok(Watched { run, at }) = Watched::deserialize(value) {
        add(run, at);
    } else if let Ok(run) = RunSettings::deserialize(value) {
        add(run, Vec::new());
    } else if let Value::Object(parts) = value {
        parts.values().for_each(|part| collect(part, found));
    } else if let Value::Array(parts) = value {
        parts.iter().for_each(|part| collect(part, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifact::table::ColumnType;
    use icl_model::settings::{StackSettings, TrainSettings};
    use serde_json::json;

    fn settings(seed: u64) -> TrainSettings {
        TrainSettings { seed, ..TrainSettings::base() }
    }

    fn cell(specification: Value) -> Cell {
        let schema = vec![("loss".to_owned(), ColumnType::Float)];
        Cell::new("c", 1.0, specification, schema, |_| Err("not computed"))
    }

    #[test]
    fn runs_are_found_wherever_they_stand_once_and_stacks_as_a_whole() {
        let stack = StackSettings { train: settings(3), layers: 2, d_ff: 5, residual: true };
        let watched =
            |at: &[usize]| Watched { run: RunSettings::Layer(settings(1)), at: at.into() };
        let cells = [
            cell(json!({ "kind": "training", "settings": settings(1), "n": 4 })),
            cell(json!({ "kind": "curve", "of": { "train": settings(2) }, "seeds": [1, 2] })),
            cell(json!({ "kind": "again", "both": [settings(1), settings(2)] })),
            cell(json!({ "kind": "stack", "settings": stack })),
            cell(json!({ "kind": "watched", "watched": watched(&[0, 30, 40]) })),
            cell(json!({ "kind": "watched otherwise", "watched": watched(&[7, 30]) })),
        ];
        let found = wanted(&cells.iter().collect::<Vec<_>>());
        let seeds: Vec<u64> = found.iter().map(|wanted| wanted.run.train().seed).collect();
        assert_eq!(seeds.iter().sum::<u64>(), 6, "{seeds:?}");
        let stacks = found.iter().filter(|wanted| matches!(wanted.run, RunSettings::Stack(_)));
        assert_eq!((found.len(), stacks.count()), (3, 1));
        let steps: Vec<&[usize]> =
            found.iter().map(|wanted| &wanted.at[..]).filter(|at| !at.is_empty()).collect();
        assert_eq!(steps, [[0, 7, 30, 40]]);
    }
}
