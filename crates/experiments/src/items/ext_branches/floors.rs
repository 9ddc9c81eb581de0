//! Floors of both branches: of the population for several numbers of demonstrations, and on the runs' final prompts.

use super::{FLOORS, Settings};
use crate::cells::{machine, references};
use artifact::cell::{Cell, Context};
use artifact::table::{ColumnType, Schema, Table};
use dual_model::floor::{self, Problem, Query, Sampling};
use icl_model::device::Device;
use serde_json::json;

/// Name of the rows whose loss is that of the final prompts.
pub(super) const SAME_PROMPTS: &str = "final prompts";
const POPULATION: &str = "population";

fn schema() -> Schema {
    let float = |name: &str| (name.to_owned(), ColumnType::Float);
    vec![
        ("prompts".into(), ColumnType::Text),
        ("heads".into(), ColumnType::Integer),
        ("n_demos".into(), ColumnType::Integer),
        ("branch".into(), ColumnType::Text),
        float("relative_loss"),
        float("standard_error"),
        float("c"),
        float("beta"),
        float("query_mass"),
    ]
}

pub(super) fn cell(settings: &Settings, device: Device) -> Cell {
    let settings = settings.clone();
    let weight = settings.floor_prompts as f64 * settings.floor_demos.len() as f64 / 5e4;
    let specification = json!({ "kind": "branches/floors/1", "settings": settings });
    Cell::new(FLOORS, weight, specification, schema(), move |context| {
        floors(context, &settings, device)
    })
}

struct Row {
    prompts: &'static str,
    n_demos: usize,
    branch: floor::Branch,
}

fn floors(context: &Context<'_>, settings: &Settings, device: Device) -> anyhow::Result<Table> {
    let sampling = Sampling { prompts: Some(settings.floor_prompts), seed: 0 };
    let machine = machine(device);
    let mut rows = Vec::new();
    let all = settings.floor_demos.len();
    for (i, n_demos) in settings.floor_demos.iter().enumerate() {
        for heads in [1, 2] {
            let d_t = settings.d_t;
            let problem = Problem {
                n_demos: *n_demos,
                d_t,
                heads,
                query: Query::Inside,
                ..Problem::default()
            };
            for branch in floor::floor(&problem, sampling, &machine.threads)?.branches {
                rows.push(Row { prompts: POPULATION, n_demos: *n_demos, branch });
            }
        }
        context.advance((i + 1) as f64 / (all + 1) as f64);
    }
    let train = settings.train(0, settings.initial_sd);
    let sampler = train.test_sampler(device.isa())?;
    let own: Vec<floor::Branch> = rows
        .iter()
        .filter(|row| row.n_demos == settings.n_demos && row.branch.heads.len() == 1)
        .map(|row| row.branch.clone())
        .collect();
    for branch in own {
        let nmse = references::relative_loss(&sampler, settings.n_final, &branch.heads);
        // paired with the runs on the same prompts: their common error is in neither
        let branch = floor::Branch { nmse, standard_error: 0.0, ..branch };
        rows.push(Row { prompts: SAME_PROMPTS, n_demos: settings.n_demos, branch });
    }
    table(&rows)
}

fn table(rows: &[Row]) -> anyhow::Result<Table> {
    let of = |f: &dyn Fn(&floor::Branch) -> f64| rows.iter().map(|row| f(&row.branch)).collect();
    let table = Table::builder(FLOORS)
        .texts("prompts", &rows.iter().map(|row| row.prompts).collect::<Vec<_>>())
        .integers("heads", rows.iter().map(|row| row.branch.heads.len() as i64).collect())
        .integers("n_demos", rows.iter().map(|row| row.n_demos as i64).collect())
        .texts("branch", &rows.iter().map(|row| row.branch.kind.name()).collect::<Vec<_>>())
        .floats("relative_loss", of(&|branch| branch.nmse))
        .floats("standard_error", of(&|branch| branch.standard_error))
        .floats("c", of(&|branch| branch.heads[0].c))
        .floats("beta", of(&|branch| branch.heads[0].beta))
        .floats("query_mass", of(&|branch| branch.heads[0].query_mass))
        .build()?;
    Ok(table)
}

/// A floor of one head on the final prompts.
pub(super) struct OnSamePrompts {
    pub(super) branch: String,
    pub(super) loss: f64,
    pub(super) query_mass: f64,
}

/// Floors of one head on the final prompts.
pub(super) fn on_same_prompts(floors: &Table) -> anyhow::Result<Vec<OnSamePrompts>> {
    let (prompts, branches) = (floors.texts("prompts")?, floors.texts("branch")?);
    let (losses, masses) = (floors.floats("relative_loss")?, floors.floats("query_mass")?);
    let rows = (0..prompts.len()).filter(|i| prompts[*i] == SAME_PROMPTS);
    let one = |i: usize| OnSamePrompts {
        branch: branches[i].clone(),
        loss: losses[i],
        query_mass: masses[i],
    };
    Ok(rows.map(one).collect())
}

/// Floors of the population: number of demonstrations and relative loss of one branch.
pub(super) fn against_demos(
    floors: &Table,
    heads: i64,
    branch: &str,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let (prompts, branches) = (floors.texts("prompts")?, floors.texts("branch")?);
    let (own, n) = (floors.integers("heads")?, floors.integers("n_demos")?);
    let losses = floors.floats("relative_loss")?;
    let is_asked =
        |i: &usize| prompts[*i] == POPULATION && own[*i] == heads && branches[*i] == branch;
    Ok((0..n.len()).filter(is_asked).map(|i| (n[i] as f64, losses[i])).unzip())
}
