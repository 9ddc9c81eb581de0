//! The dual of one Transformer layer, drawn from the numbers of one prompt.

use crate::item::{Context, Item, Outputs, Plan};
use crate::scheme::page::{self, Matrices, Page, short};
use crate::scheme::prompt::{LayerNumbers, Settings, layers};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::{Place, at_most};
use artifact::figure::Figure;
use artifact::table::Table;
use dual_model::dual::KeyValue;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::FeatureMap as _;
use icl_model::device::Device;
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig4-transformer-layer-scheme",
    paper: "Figure 4",
    claim: "Given the query's activation pattern, a Transformer layer is a dual trained on the values W2 Σ W1 v",
    plan: &plan,
};

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings = Settings::read(file, context.profile)?;
    let device = context.device;
    let cell = Cell::new(
        page::MATRICES,
        0.01,
        json!({ "kind": "layer-scheme/1", "settings": settings }),
        page::schema(),
        move |_| matrices(&settings, device),
    );
    Ok(Plan::new(vec![cell], |results| assemble(results.get(page::MATRICES)?)))
}

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
    all.to_table(page::MATRICES)
}

fn assemble(result: &Table) -> anyhow::Result<Outputs> {
    let table = result.clone().named(page::MATRICES);
    let difference = Page::new(&table).difference("f(q) + b", "z")?;
    let claim = at_most(
        Place { item: ITEM.id, claim: "equal", table: page::MATRICES },
        "Largest difference between the layer's output and its dual's prediction",
        difference,
        1e-12,
    );
    let figure = figure(&table, difference)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec![page::MATRICES])],
        claims: vec![claim],
    })
}

const CELL: f64 = 9.0;

fn figure(table: &Table, difference: f64) -> anyhow::Result<Figure> {
    let mut page = Page::new(table);
    let tokens = page.range(&["H", "V", "h'", "hidden", "z", "M V", "b", "f(q) + b"])?;
    draw_layer(&mut page, tokens)?;
    page.arrow([444.5, 86.0], [444.5, 142.0], "");
    page.arrow([444.5, 142.0], [444.5, 86.0], "");
    page.text([390.0, 121.0], format!("largest difference {}", short(difference)));
    draw_dual(&mut page, tokens)?;
    let caption = "fig4-transformer-layer-scheme. One prompt in one Transformer layer without residual paths. The \
                   activation pattern Σ of the query makes the layer linear in the attention's values; the dual is \
                   trained on the transformed values, one increment for every demonstration, and the constant \
                   b = W₂ Σ b₁ + b₂ does not depend on the demonstrations. Features are exact on these keys; the mask \
                   is on a scale from 0 to 1; both outputs are printed."
        .into();
    Ok(page.figure(ITEM.id, 332.0, caption))
}

fn draw_layer(page: &mut Page<'_>, tokens: [f64; 2]) -> anyhow::Result<()> {
    page.heading([244.0, 8.0], "a Transformer layer: attention, then a ReLU feed-forward part");
    page.frame([0.0, 16.0], [488.0, 92.0]);
    page.draw("H", "tokens H", ([16.0, 48.0], CELL), tokens)?;
    page.arrow([76.0, 66.0], [128.0, 66.0], "attention");
    page.draw("h'", "h′", ([138.0, 48.0], CELL), tokens)?;
    page.arrow([154.0, 66.0], [206.0, 66.0], "W₁ h′ + b₁");
    page.draw("hidden", "hidden", ([216.0, 39.0], CELL), tokens)?;
    page.arrow([232.0, 66.0], [280.0, 66.0], "> 0");
    page.draw("mask", "mask Σ", ([290.0, 39.0], CELL), [0.0, 1.0])?;
    page.arrow([306.0, 66.0], [428.0, 66.0], "W₂ Σ (W₁ h′ + b₁) + b₂");
    page.draw_column("z", "output z", ([440.0, 48.0], CELL), tokens)
}

fn draw_dual(page: &mut Page<'_>, tokens: [f64; 2]) -> anyhow::Result<()> {
    let n = page.matrix("H")?.1 - 1;
    let steps: Vec<String> = (1..=n).map(|i| format!("step {i}")).collect();
    let names: Vec<&str> = steps.iter().map(String::as_str).chain(["W0", "W1"]).collect();
    let (features, w) = (page.range(&["phi(K)"])?, page.range(&names)?);
    page.heading([150.0, 121.0], "its dual: f(x) + b, trained on the values W₂ Σ W₁ v");
    page.frame([0.0, 130.0], [488.0, 158.0]);
    page.draw("M V", "W₂ Σ W₁ V", ([16.0, 156.0], CELL), tokens)?;
    page.draw("phi(K)", "φ(K)", ([90.0, 152.0], CELL), features)?;
    page.draw("W0", "W₀ from the query token", ([184.0, 156.0], CELL), w)?;
    page.arrow([244.0, 174.0], [304.0, 174.0], "+ N increments");
    page.draw("W1", "W₁", ([310.0, 156.0], CELL), w)?;
    page.arrow([370.0, 174.0], [392.0, 174.0], "φ(q)");
    page.draw("b", "+ b", ([402.0, 156.0], CELL), tokens)?;
    page.draw_column("f(q) + b", "f(q) + b", ([440.0, 156.0], CELL), tokens)?;
    page.text([54.0, 252.0], "increments by");
    page.text([54.0, 261.0], "demonstration");
    page.draw_steps("step", n, ([104.0, 238.0], CELL), 74.0, w)?;
    page.colour_bar([60.0, 310.0], tokens, "tokens, values, hidden, outputs");
    page.colour_bar([220.0, 310.0], features, "features");
    page.colour_bar([370.0, 310.0], w, "W and its increments");
    Ok(())
}
