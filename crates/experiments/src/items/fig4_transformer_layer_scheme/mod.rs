//! The dual of one Transformer layer, drawn from the numbers of one prompt.

mod drawing;

use crate::item::{Item, Outputs};
use crate::scheme::Scheme;
use crate::scheme::matrices::{self, Matrices};
use crate::scheme::page::Page;
use crate::scheme::prompt::{LayerNumbers, Settings, layers};
use artifact::claim::{Place, at_most};
use artifact::table::Table;
use dual_model::dual::KeyValue;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::FeatureMap as _;
use icl_model::device::Device;
use icl_model::settings::RunSettings;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig4-transformer-layer-scheme",
    paper: "Figure 4",
    claim: "Given the query's activation pattern, a Transformer layer is a dual trained on the values W2 Σ W1 v",
    plan: &|file, context| SCHEME.plan(file, context),
};

static SCHEME: Scheme = Scheme {
    kind: "layer-scheme/1",
    run: |settings| RunSettings::Stack(settings.stack(false)),
    matrices,
    assemble,
};

fn matrices(settings: &Settings, device: Device) -> anyhow::Result<Table> {
    let (stack, tokens) = layers(settings, false, device)?;
    let layer = LayerNumbers::new(&stack[0], &tokens)?;
    let n = settings.n_demos;
    // candle's side
    let (attention, output) = layer.candle(&stack[0], n)?;
    let preactivation = layer.hidden(&attention);
    let mask: Vec<f64> = preactivation.iter().map(|p| f64::from(u8::from(*p > 0.0))).collect();
    // the dual's side
    let head = &layer.head;
    let transformed: Vec<Vec<f64>> =
        head.values.iter_rows().map(|v| layer.through(v, &mask)).collect();
    let bias = layer.constant(&mask);
    let pairs = head.keys.iter_rows().zip(&transformed);
    let pairs: Vec<KeyValue<'_>> = pairs.map(|(key, value)| KeyValue { key, value }).collect();
    let (demonstrations, side) = pairs.split_at(n);
    let (map, query) = (layer.features(), head.queries.row(n));
    let mut dual = FeatureDual::initial(&map, demonstrations, side, query)?;
    let mut all = Matrices::default();
    all.add_transposed("H", &tokens);
    all.add_transposed("V", &head.values);
    all.add_columns("h'", &[attention]);
    all.add_columns("hidden", &[preactivation]);
    all.add_columns("mask", &[mask]);
    all.add_columns("z", &[output]);
    all.add_columns("M V", &transformed);
    all.add_columns("b", std::slice::from_ref(&bias));
    let phi: Vec<Vec<f64>> = head.keys.iter_rows().map(|k| map.key_features(k)).collect();
    all.add_columns("phi(K)", &phi);
    all.add("W0", dual.weights().clone());
    let step = |dual: &mut FeatureDual<'_, _>, i: usize| dual.step(demonstrations[i]);
    all.add_steps("step", &mut dual, n, |dual| dual.weights(), step)?;
    all.add("W1", dual.weights().clone());
    let prediction = dual.predict(query)?;
    let sum = prediction.iter().zip(&bias).map(|(f, b)| f + b).collect();
    all.add_columns("f(q) + b", &[sum]);
    all.to_table(matrices::MATRICES)
}

fn assemble(result: &Table) -> anyhow::Result<Outputs> {
    let table = result.clone().named(matrices::MATRICES);
    let difference = Page::new(&table).difference("f(q) + b", "z")?;
    let claim = at_most(
        Place { item: ITEM.id, claim: "equal", table: matrices::MATRICES },
        "Largest difference between the layer's output and its dual's prediction",
        difference,
        1e-12,
    );
    let figure = drawing::figure(&table, difference)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec![matrices::MATRICES])],
        claims: vec![claim],
    })
}
