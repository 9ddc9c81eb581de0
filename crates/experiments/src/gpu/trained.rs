//! Runs that were trained ahead of their cells, found by their settings.

use artifact::cell::Cell;
use icl_model::machine::Elsewhere;
use icl_model::settings::RunSettings;
use icl_model::trainer::Finished;
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Runs by their settings as JSON.
#[derive(Debug, Default)]
pub(crate) struct TrainedRuns(BTreeMap<String, Finished>);

/// What was trained ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    /// Runs of the GPU.
    pub(crate) trained: usize,
    /// Runs that their cells train on the processor.
    pub(crate) left: usize,
}

/// Those of this process.
static TRAINED: OnceLock<Arc<TrainedRuns>> = OnceLock::new();

/// Runs that were trained ahead, if there are any.
pub(crate) fn trained() -> Option<Arc<dyn Elsewhere>> {
    TRAINED.get().map(|runs| Arc::clone(runs) as Arc<dyn Elsewhere>)
}

fn name(settings: &RunSettings) -> String {
    serde_json::to_string(settings).unwrap_or_default()
}

#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "runs come from a GPU"))]
impl TrainedRuns {
    /// Keeps a run.
    pub(crate) fn keep(&mut self, settings: &RunSettings, finished: Finished) {
        self.0.insert(name(settings), finished);
    }

    /// Lets the cells of this process find the runs; `left` more are theirs to train.
    pub(crate) fn install(self, left: usize) -> Ahead {
        let trained = self.0.len();
        TRAINED.get_or_init(|| Arc::new(self));
        Ahead { trained, left }
    }
}

impl Elsewhere for TrainedRuns {
    fn finished(&self, settings: &RunSettings) -> Option<Finished> {
        self.0.get(&name(settings)).cloned()
    }
}

/// The settings of all layers and stacks that cells train, each once: every part of a specification that reads as such.
///
/// A run that no cell asks for costs time, never a number.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "read for a GPU"))]
pub(crate) fn settings_of(cells: &[&Cell]) -> Vec<RunSettings> {
    let mut found = BTreeMap::new();
    for cell in cells {
        collect(&cell.specification, &mut found);
    }
    found.into_values().collect()
}

fn collect(value: &Value, found: &mut BTreeMap<String, RunSettings>) {
    match value {
        Value::Object(parts) => match RunSettings::deserialize(value) {
            Ok(settings) => {
                found.insert(name(&settings), settings);
            }
            Err(_) => parts.values().for_each(|part| collect(part, found)),
        },
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifact::table::ColumnType;
    use icl_model::attention;
    use icl_model::machine::Machine;
    use icl_model::settings::{StackSettings, TrainSettings};
    use icl_model::trainer::Unkept;
    use icl_model::training::LayerTraining;
    use icl_numerics::lanes::Isa;
    use icl_numerics::threads::Threads;
    use serde_json::json;

    fn settings(seed: u64) -> TrainSettings {
        TrainSettings { steps: 3, batch: 16, n_validation: 16, seed, ..TrainSettings::base() }
    }

    fn cell(specification: Value) -> Cell {
        let schema = vec![("loss".to_owned(), ColumnType::Float)];
        Cell::new("c", 1.0, specification, schema, |_| Err("not computed"))
    }

    #[test]
    fn settings_are_found_wherever_they_stand_once_and_of_stacks_as_a_whole() {
        let stack = StackSettings { train: settings(3), layers: 2, d_ff: 5, residual: true };
        let cells = [
            cell(json!({ "kind": "training", "settings": settings(1), "n": 4 })),
            cell(json!({ "kind": "curve", "of": { "train": settings(2) }, "seeds": [1, 2] })),
            cell(json!({ "kind": "again", "both": [settings(1), settings(2)] })),
            cell(json!({ "kind": "stack", "settings": stack })),
        ];
        let found = settings_of(&cells.iter().collect::<Vec<_>>());
        let seeds: Vec<u64> = found.iter().map(|settings| settings.train().seed).collect();
        assert_eq!(seeds.iter().sum::<u64>(), 6, "{seeds:?}");
        let stacks = found.iter().filter(|settings| matches!(settings, RunSettings::Stack(_)));
        assert_eq!((found.len(), stacks.count()), (3, 1));
    }

    #[test]
    fn only_a_run_of_exactly_these_settings_is_taken() {
        let machine = Machine::cpu(Isa::detect(), Threads::One);
        let train = |machine: &Machine, seed| {
            let layer = LayerTraining::new(settings(seed), machine).unwrap();
            let mut trainer = layer.trainer();
            let curve = trainer.run(&Unkept).unwrap();
            (curve, trainer.into_parameters())
        };
        let plain = attention::parse("plain").unwrap();
        let parameters = settings(1).parameters(plain.as_ref());
        let mut adam = icl_model::adam::Adam::new(settings(1).adam, &parameters);
        adam.step = 3;
        let mut runs = TrainedRuns::default();
        // a run whose weights never moved is told from a trained one
        runs.keep(
            &RunSettings::Layer(settings(1)),
            Finished { parameters: parameters.clone(), adam, curve: Vec::new() },
        );
        let with = Machine { elsewhere: Some(Arc::new(runs)), ..machine.clone() };
        assert_eq!(train(&with, 1).1, parameters);
        assert_eq!(train(&with, 2), train(&machine, 2));
        assert_ne!(train(&machine, 1).1, parameters);
    }
}
