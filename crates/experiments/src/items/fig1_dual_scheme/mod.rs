//! The correspondence of attention and its dual, drawn from the numbers of one prompt.

mod drawing;

use crate::item::{Item, Outputs};
use crate::scheme::Scheme;
use crate::scheme::matrices::{self, Matrices};
use crate::scheme::page::Page;
use crate::scheme::prompt::{SchemePrompt, Settings};
use artifact::claim::{Place, at_most};
use artifact::table::Table;
use dual_model::Matrix;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::FeatureMap as _;
use icl_model::device::Device;
use icl_model::settings::RunSettings;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig1-dual-scheme",
    paper: "Figure 1",
    claim: "Attention's output for the query is the test prediction of the dual after one gradient step",
    plan: &|file, context| SCHEME.plan(file, context),
};

static SCHEME: Scheme = Scheme {
    kind: "dual-scheme/1",
    run: |settings| RunSettings::Layer(settings.layer()),
    matrices,
    assemble,
};

fn matrices(settings: &Settings, device: Device) -> anyhow::Result<Table> {
    let prompt = SchemePrompt::new(settings, device)?;
    let n = settings.n_demos;
    let map = prompt.features();
    let (demonstrations, side) = prompt.pairs();
    let mut dual = FeatureDual::initial(&map, &demonstrations, &side, prompt.query())?;
    let mut all = Matrices::default();
    all.add_transposed("H", &prompt.tokens);
    all.add_transposed("K", &prompt.head.keys);
    all.add_transposed("V", &prompt.head.values);
    all.add_columns("q", &[prompt.query().to_vec()]);
    let phi: Vec<Vec<f64>> = prompt.head.keys.iter_rows().map(|k| map.key_features(k)).collect();
    all.add_columns("phi(K)", &phi);
    let phi_q = map.query_features(prompt.query());
    all.add_columns("phi(q)", &[phi_q]);
    all.add("W0", dual.weights().clone());
    let step = |dual: &mut FeatureDual<'_, _>, i: usize| dual.step(demonstrations[i]);
    all.add_steps("step", &mut dual, n, |dual| dual.weights(), step)?;
    all.add("W1", dual.weights().clone());
    all.add_columns("f(q)", &[dual.predict(prompt.query())?]);
    let (weights, output) = prompt.attention()?;
    all.add("weights", Matrix::new(1, n + 1, weights)?);
    all.add_columns("h'", &[output]);
    all.to_table(matrices::MATRICES)
}

fn assemble(result: &Table) -> anyhow::Result<Outputs> {
    let table = result.clone().named(matrices::MATRICES);
    let difference = Page::new(&table).difference("f(q)", "h'")?;
    let claim = at_most(
        Place { item: ITEM.id, claim: "equal", table: matrices::MATRICES },
        "Largest difference between attention's output and the dual's prediction",
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
