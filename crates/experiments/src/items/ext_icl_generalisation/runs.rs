//! The cells: a layer trained on every prompt's own task or on a pool, and the floors.

use super::measure::{Measure, Value};
use super::{Settings, bound};
use crate::cells::{Kept, machine, training};
use crate::named::Named as _;
use artifact::cell::Cell;
use artifact::table::{ColumnType, Schema, Table};
use dual_model::floor::{self, Problem, Query, Sampling};
use icl_model::device::Device;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;
use icl_numerics::order;
use icl_numerics::threads::Threads;
use serde_json::json;

fn schema() -> Schema {
    let integers = ["n_demos", "pool", "seed"].map(|name| (name.to_owned(), ColumnType::Integer));
    let rest =
        [("measure", ColumnType::Text), ("at", ColumnType::Integer), ("value", ColumnType::Float)];
    integers.into_iter().chain(rest.map(|(name, kind)| (name.to_owned(), kind))).collect()
}

/// Name of the cell of a trained layer; without a pool every prompt has its own task.
pub(super) fn name(n_demos: usize, pool: Option<usize>, seed: u64) -> String {
    match pool {
        Some(size) => format!("pool of {size}/{seed}"),
        None => format!("N = {n_demos}/{seed}"),
    }
}

/// A cell that trains one layer and measures its losses: on fresh tasks and on its own pool; trained without a pool, on
/// every pool of its seed and, besides, the dual's weights against their bound.
pub(super) fn cell(settings: &Settings, train: TrainSettings, device: Device) -> Cell {
    let (n_demos, n_final) = (train.prompt.n_demos, settings.n_final);
    let pools = match train.pool {
        Some(size) => vec![size],
        None if n_demos == settings.pool_demos => settings.pools.clone(),
        None => Vec::new(),
    };
    let measured = train.pool.is_none().then(|| settings.measured());
    Cell::new(
        name(n_demos, train.pool, train.seed),
        training::weight(&train, n_final * (1 + pools.len())),
        json!({
            "kind": "icl-generalisation/1", "settings": train, "n_final": n_final, "pools": pools,
            "measured": measured
        }),
        schema(),
        move |context| {
            let layer = LayerTraining::new(train.clone(), &machine(device))?;
            let mut trainer = layer.trainer();
            trainer.run(&Kept::new(context)?)?;
            let parameters = trainer.into_parameters();
            let fresh = train.test_sampler(device.isa())?;
            let mut values = Vec::new();
            for at in std::iter::once(0).chain(pools.iter().copied()) {
                let prompts =
                    if at == 0 { fresh.clone() } else { fresh.clone().with_pool(train.seed, at) };
                let losses = layer.losses(&parameters, &prompts, n_final)?.values;
                let mean_square = train.prompt.d_t as f64 / 3.0;
                let value = 2.0 * order::sum(&losses) / n_final as f64 / mean_square;
                values.push(Value { measure: Measure::Loss, at, value });
            }
            if let Some(measured) = measured {
                values.extend(bound::measure(&train, &parameters, measured)?);
            }
            table(&train, &values)
        },
    )
}

fn table(train: &TrainSettings, values: &[Value]) -> anyhow::Result<Table> {
    let rows = values.len();
    let same = |x: u64| vec![x as i64; rows];
    let table = Table::builder("runs")
        .integers("n_demos", same(train.prompt.n_demos as u64))
        .integers("pool", same(train.pool.unwrap_or(0) as u64))
        .integers("seed", same(train.seed))
        .texts("measure", &values.iter().map(|v| v.measure.name()).collect::<Vec<_>>())
        .integers("at", values.iter().map(|v| v.at as i64).collect())
        .floats("value", values.iter().map(|v| v.value).collect())
        .build()?;
    Ok(table)
}

/// Name of the cell of a floor.
pub(super) fn floor_name(n_demos: usize) -> String {
    format!("floor/{n_demos}")
}

/// A cell with the lowest loss of one softmax head whose scores are a multiple of the identity.
pub(super) fn floor(settings: &Settings, n_demos: usize) -> Cell {
    let problem =
        Problem { n_demos, d_t: settings.d_t, query: Query::Outside, ..Problem::default() };
    let sampling = Sampling { prompts: Some(settings.floor_prompts as u64), seed: 0 };
    let schema = ["floor", "floor_error"].map(|name| (name.to_owned(), ColumnType::Float));
    let prompts = settings.floor_prompts;
    Cell::new(
        floor_name(n_demos),
        (prompts * n_demos) as f64 / 1e6,
        json!({ "kind": "icl-generalisation/floor/1", "n_demos": n_demos, "d_t": settings.d_t, "prompts": prompts }),
        schema.into(),
        move |_| {
            let found = floor::floor(&problem, sampling, &Threads::Callers)?;
            let lowest = found.lowest();
            let table = Table::builder("floor")
                .floats("floor", vec![lowest.nmse])
                .floats("floor_error", vec![lowest.standard_error])
                .build()?;
            anyhow::Ok(table)
        },
    )
}
