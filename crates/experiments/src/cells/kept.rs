//! A training run whose state is kept in the checkpoint of its cell.

use artifact::cell;
use icl_model::trainer::Checkpoint;

/// Parts of a run after which its progress is told.
const TOLD: usize = 100;

/// The checkpoint of a cell's training: a run that is killed goes on from it to the same bits.
pub(crate) struct Kept<'a> {
    context: cell::Context<'a>,
    checkpoint: cell::Checkpoint<'a>,
}

impl<'a> Kept<'a> {
    /// That of the cell's only training.
    pub(crate) fn new(context: &cell::Context<'a>) -> anyhow::Result<Self> {
        Ok(Self { context: *context, checkpoint: context.checkpoint("training")? })
    }
}

impl Checkpoint for Kept<'_> {
    fn load(&self) -> Option<Vec<u8>> {
        self.checkpoint.load()
    }

    fn due(&self) -> bool {
        self.checkpoint.due()
    }

    fn save(&self, state: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.checkpoint.save(state)?)
    }

    fn progress(&self, step: usize, steps: usize) {
        if step * TOLD / steps != (step - 1) * TOLD / steps {
            self.context.advance(step as f64 / steps as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifact::cell::{Cell, CellOutcome, Context, Observer, RunOptions, run};
    use artifact::store::Store;
    use artifact::table::{ColumnType, Table};
    use icl_model::machine::Machine;
    use icl_model::settings::TrainSettings;
    use icl_model::trainer::Unkept;
    use icl_model::training::LayerTraining;
    use icl_numerics::lanes::Isa;
    use icl_numerics::threads::Threads;
    use serde_json::json;
    use std::sync::Mutex;

    /// Lets every step be kept, and remembers the shares that it was told.
    #[derive(Default)]
    struct Watch(Mutex<Vec<f64>>);

    impl Observer for Watch {
        fn planned(&self, _: usize, _: usize, _: f64) {}
        fn started(&self, _: usize, _: &Cell) {}
        fn advanced(&self, _: usize, _: &Cell, share: f64) {
            self.0.lock().unwrap().push(share);
        }
        fn finished(&self, _: usize, _: &Cell) {}
        fn checkpoint_due(&self, _: usize) -> bool {
            true
        }
        fn checkpoint_saved(&self, _: usize) {}
        fn note(&self, _: &str) {}
    }

    fn settings() -> TrainSettings {
        TrainSettings {
            steps: 40,
            batch: 64,
            n_validation: 64,
            validate_every: 8,
            ..TrainSettings::base()
        }
    }

    /// Trains, and fails at step `breaks_at`.
    fn train(context: &Context<'_>, breaks_at: Option<usize>) -> anyhow::Result<Table> {
        struct Breaking<'a>(Kept<'a>, Option<usize>);
        impl Checkpoint for Breaking<'_> {
            fn load(&self) -> Option<Vec<u8>> {
                self.0.load()
            }
            fn due(&self) -> bool {
                self.0.due()
            }
            fn save(&self, state: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
                self.0.save(state)
            }
            fn progress(&self, step: usize, steps: usize) {
                assert!(Some(step) != self.1, "killed");
                self.0.progress(step, steps);
            }
        }
        let machine = Machine::cpu(Isa::Portable, Threads::One);
        let layer = LayerTraining::new(settings(), &machine)?;
        let curve = layer.trainer().run(&Breaking(Kept::new(context)?, breaks_at))?;
        Ok(Table::builder("t").floats("loss", curve.iter().map(|p| p.loss).collect()).build()?)
    }

    fn cell(breaks_at: Option<usize>) -> Cell {
        let schema = vec![("loss".to_owned(), ColumnType::Float)];
        Cell::new("long", 1.0, json!({ "kind": "kept" }), schema, move |context| {
            train(context, breaks_at)
        })
    }

    #[test]
    fn a_training_that_dies_goes_on_where_it_was_to_the_same_bits() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let options = RunOptions { jobs: 1, fresh: false, shard: None };
        let die = || run(&[cell(Some(29))], "source", &store, options, &Watch::default());
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(die));
        assert!(died.is_err());
        let watch = Watch::default();
        let results = run(&[cell(None)], "source", &store, options, &watch).unwrap();
        let CellOutcome::Some(Ok(result)) = &results[0] else { panic!("no result") };
        let machine = Machine::cpu(Isa::Portable, Threads::One);
        let layer = LayerTraining::new(settings(), &machine).unwrap();
        let whole = layer.trainer().run(&Unkept).unwrap();
        let losses: Vec<f64> = whole.iter().map(|point| point.loss).collect();
        assert_eq!(result.table.floats("loss").unwrap(), losses);
        // it went on after step 28, the last that was kept
        assert_eq!(watch.0.lock().unwrap().first(), Some(&(29.0 / 40.0)));
    }
}
