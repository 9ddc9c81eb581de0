//! Runs that were trained ahead of their cells, and the device that has them.

use super::Counts;
use super::wanted::{name, wanted};
use crate::console::note;
use artifact::cell::Cell;
use icl_cuda::{Covered, CudaError, Launch, test_losses, train};
use icl_model::machine::Elsewhere;
use icl_model::settings::RunSettings;
use icl_model::trainer::Finished;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Where blocks run, and the runs that they have trained.
#[derive(Debug)]
pub(crate) struct Ahead<L> {
    /// One launch at a time: each takes the memory that is free.
    launch: Mutex<L>,
    /// What blocks can train, by the settings as JSON.
    covered: BTreeMap<String, Covered>,
    finished: BTreeMap<String, Finished>,
}

impl<L: Launch> Ahead<L> {
    /// Trains all runs of these cells that blocks train, each once.
    pub(crate) fn train(launch: L, cells: &[&Cell]) -> Result<(Self, Counts), CudaError> {
        let (mut runs, mut left) = (Vec::new(), 0);
        for wanted in wanted(cells) {
            match Covered::new(wanted.run) {
                Ok(run) => runs.push(run.watched(&wanted.at)),
                Err(_) => left += 1,
            }
        }
        let names: Vec<String> = runs.iter().map(|run| name(run.settings())).collect();
        let results = train(&launch, &runs)?;
        // one that diverges is left to its cell, which says so
        let ended = names.iter().cloned().zip(results).filter_map(|(n, run)| Some((n, run.ok()?)));
        let counts = Counts { trained: runs.len(), left };
        let finished = ended.collect();
        let covered = names.into_iter().zip(runs).collect();
        Ok((Self { launch: Mutex::new(launch), covered, finished }, counts))
    }
}

impl<L: Launch + std::fmt::Debug + Send> Elsewhere for Ahead<L> {
    fn finished(&self, settings: &RunSettings) -> Option<Finished> {
        self.finished.get(&name(settings)).cloned()
    }

    fn test_losses(
        &self,
        settings: &RunSettings,
        parameters: &[f32],
        n: usize,
    ) -> Option<Vec<f64>> {
        let run = self.covered.get(&name(settings))?;
        let launch = self.launch.lock().unwrap_or_else(PoisonError::into_inner);
        match test_losses(&*launch, run, parameters, n) {
            Ok(losses) => Some(losses),
            Err(error) => {
                note!("note: test losses on the processor instead: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifact::table::ColumnType;
    use icl_cuda::{Emulation, Variant};
    use icl_model::machine::Machine;
    use icl_model::objective::Set;
    use icl_model::settings::{Backend, TrainSettings, Watched};
    use icl_model::trainer::{Trainer, Unkept};
    use icl_model::training::LayerTraining;
    use icl_numerics::lanes::Isa;
    use icl_numerics::threads::Threads;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn settings(seed: u64) -> TrainSettings {
        TrainSettings { steps: 3, batch: 16, n_validation: 16, seed, ..TrainSettings::base() }
    }

    fn ahead(specification: Value, variant: Variant) -> (Ahead<Emulation>, Counts) {
        let schema = vec![("loss".to_owned(), ColumnType::Float)];
        let cell = Cell::new("c", 1.0, specification, schema, |_| Err("not computed"));
        Ahead::train(Emulation(variant), &[&cell]).unwrap()
    }

    /// Curve, parameters and test losses of a run.
    fn run(machine: &Machine, seed: u64) -> (Vec<f64>, Vec<f32>, Vec<f64>) {
        let layer = LayerTraining::new(settings(seed), machine).unwrap();
        let mut trainer = layer.trainer();
        let curve = trainer.run(&Unkept).unwrap().iter().map(|point| point.loss).collect();
        let losses = trainer.evaluate_each(Set::Test, 40).unwrap().1;
        (curve, trainer.into_parameters().packed().to_vec(), losses)
    }

    #[test]
    fn only_a_run_of_exactly_these_settings_is_taken() {
        let own = Machine::cpu(Isa::detect(), Threads::One);
        // a mutant's run is told from the processor's
        let (mutant, counts) = ahead(json!([settings(1)]), Variant::Reordered);
        assert_eq!(counts, Counts { trained: 1, left: 0 });
        let with = Machine { elsewhere: Some(Arc::new(mutant)), ..own.clone() };
        let (expected, found) = (run(&own, 1), run(&with, 1));
        assert_ne!(found.1, expected.1);
        assert_eq!(run(&with, 2), run(&own, 2));
        let (exact, _) = ahead(json!([settings(1)]), Variant::Exact);
        let with = Machine { elsewhere: Some(Arc::new(exact)), ..own };
        assert_eq!(run(&with, 1), expected);
    }

    #[test]
    fn test_losses_come_from_there_too() {
        let own = Machine::cpu(Isa::detect(), Threads::One);
        let (mutant, _) = ahead(json!([settings(1)]), Variant::Reordered);
        let with = Machine { elsewhere: Some(Arc::new(mutant)), ..own.clone() };
        let losses = |machine: &Machine, seed: u64| {
            let layer = LayerTraining::new(settings(seed), machine).unwrap();
            layer.trainer().evaluate_each(Set::Test, 40).unwrap().1
        };
        // at the start of the run, where parameters are the same
        assert_ne!(losses(&with, 1), losses(&own, 1));
        assert_eq!(losses(&with, 2), losses(&own, 2));
    }

    #[test]
    fn a_watched_run_is_seen_at_its_steps_and_what_no_block_trains_is_counted() {
        let watched = Watched { run: RunSettings::Layer(settings(1)), at: vec![0, 2, 3] };
        let reference = TrainSettings { backend: Backend::Reference, ..settings(4) };
        let (exact, counts) =
            ahead(json!({ "watched": watched, "other": reference }), Variant::Exact);
        assert_eq!(counts, Counts { trained: 1, left: 1 });
        let finished = exact.finished(&watched.run).unwrap();
        assert_eq!(finished.watched.keys().copied().collect::<Vec<_>>(), watched.at);
        let own = Machine::cpu(Isa::detect(), Threads::One);
        let layer = LayerTraining::new(settings(1), &own).unwrap();
        let look = |step: usize, at: &Trainer<'_>| {
            assert_eq!(finished.watched[&step], at.parameters().packed(), "{step}");
            anyhow::Ok(())
        };
        layer.trainer().watch(&watched.at, look).unwrap();
    }
}
