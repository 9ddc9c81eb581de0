//! The smoke profile as with a GPU whose blocks the host runs: every number is the processor's.

use crate::gpu::{Ahead, elsewhere, install};
use crate::inputs::{InputArguments, Inputs};
use crate::item::Context;
use crate::plan;
use crate::profile::Profile;
use crate::progress::Progress;
use crate::registry;
use crate::workspace::Workspace;
use artifact::cell::{self, Cell, RunOptions};
use artifact::store::Store;
use icl_cuda::{Emulation, Variant};
use icl_model::device::Device;
use icl_model::machine::Elsewhere;
use icl_model::settings::RunSettings;
use icl_model::trainer::Finished;
use icl_numerics::lanes::Isa;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Counts answers, and keeps the settings that had none.
#[derive(Debug)]
struct Asked {
    ahead: Ahead<Emulation>,
    runs: Mutex<usize>,
    losses: Mutex<usize>,
    unknown: Mutex<BTreeSet<String>>,
}

impl Elsewhere for Asked {
    fn finished(&self, settings: &RunSettings) -> Option<Finished> {
        let found = self.ahead.finished(settings);
        match &found {
            Some(_) => *self.runs.lock().unwrap() += 1,
            None => drop(self.unknown.lock().unwrap().insert(format!("{settings:?}"))),
        }
        found
    }

    fn test_losses(
        &self,
        settings: &RunSettings,
        parameters: &[f32],
        n: usize,
    ) -> Option<Vec<f64>> {
        let found = self.ahead.test_losses(settings, parameters, n);
        *self.losses.lock().unwrap() += usize::from(found.is_some());
        found
    }
}

/// Names and digests of the tables of all cells.
fn tables(cells: &[Cell]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let options = RunOptions { jobs: 2, fresh: true, shard: None };
    let results = cell::run(cells, "emulated", &store, options, &Progress::new()).unwrap();
    let digest = |(cell, result): (&Cell, Option<Result<cell::CellResult, _>>)| {
        (cell.name.clone(), result.unwrap().unwrap().sha256)
    };
    cells.iter().zip(results).map(digest).collect()
}

#[test]
#[ignore = "seven minutes: blocks on the host have no lanes"]
fn every_number_of_smoke_is_the_processors_and_blocks_train_what_cells_ask_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = Workspace::find(Some(&root)).unwrap();
    let inputs = Inputs::new(&workspace, &InputArguments::default()).unwrap();
    let device = Device::Cpu(Isa::detect());
    let context = Context { profile: Profile::Smoke, device, inputs: &inputs };
    let work = plan::plan(&workspace, registry::built_in(), context);
    assert!(elsewhere().is_none());
    let expected = tables(&work.cells);
    let cells: Vec<&Cell> = work.cells.iter().collect();
    let (ahead, counts) = Ahead::train(Emulation(Variant::Exact), &cells).unwrap();
    assert!(counts.trained > 100, "{counts:?}");
    let asked = Arc::new(Asked {
        ahead,
        runs: Mutex::default(),
        losses: Mutex::default(),
        unknown: Mutex::default(),
    });
    install(Arc::clone(&asked) as Arc<dyn Elsewhere>);
    assert_eq!(tables(&work.cells), expected);
    let (runs, losses) = (*asked.runs.lock().unwrap(), *asked.losses.lock().unwrap());
    // cells share runs, and most are judged on test prompts
    assert!(runs >= counts.trained && 2 * losses > counts.trained, "{runs} {losses} {counts:?}");
    let unknown = asked.unknown.lock().unwrap();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
