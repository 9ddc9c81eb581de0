//! One dual per layer of a stack, drawn from the numbers of one prompt.

use crate::item::{Context, Item, Outputs, Plan};
use crate::scheme::page::{self, Matrices, Page, short};
use crate::scheme::prompt::{LayerNumbers, Settings, layers};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::{Place, at_most};
use artifact::figure::Figure;
use artifact::table::Table;
use dual_model::Matrix;
use dual_model::shared::SharedFeatureDual;
use icl_model::device::Device;
use icl_numerics::largest;
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig5-multi-layer-scheme",
    paper: "Figure 5",
    claim: "Every layer of a stack has its own dual, trained on the tokens of the layer before; composed, they are \
         the stack",
    plan: &plan,
};

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings = Settings::read(file, context.profile)?;
    let device = context.device;
    let cell = Cell::new(
        page::MATRICES,
        0.01,
        json!({ "kind": "stack-scheme/1", "settings": settings }),
        page::schema(),
        move |_| matrices(&settings, device),
    );
    Ok(Plan::new(vec![cell], |results| assemble(results.get(page::MATRICES)?)))
}

fn matrices(settings: &Settings, device: Device) -> anyhow::Result<Table> {
    let (stack, tokens) = layers(settings, true, device)?;
    let n = settings.n_demos;
    let mut all = Matrices::default();
    all.add_transposed("dual 0", &tokens);
    let (mut ours, mut theirs) = (tokens.clone(), tokens);
    for (l, layer) in stack.iter().enumerate() {
        // the dual's side: one W for all queries, a constant channel under the values
        let numbers = LayerNumbers::new(layer, &ours)?;
        let map = numbers.features();
        let (head, d) = (&numbers.head, ours.columns());
        let mut state = SharedFeatureDual::new(&map, d, d);
        state.step(head.key_value(n))?;
        all.add(format!("W0 {}", l + 1), state.weights().clone());
        let step = |state: &mut SharedFeatureDual<'_, _>, j: usize| state.step(head.key_value(j));
        all.add_steps(&format!("step {}", l + 1), &mut state, n, |state| state.weights(), step)?;
        all.add(format!("W1 {}", l + 1), state.weights().clone());
        let after = head
            .queries
            .iter_rows()
            .zip(ours.iter_rows())
            .map(|(q, x)| Ok(numbers.after_attention(x, &state.predict(q)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        ours = Matrix::from_rows(after.iter().map(Vec::as_slice))?;
        all.add_transposed(format!("dual {}", l + 1), &ours);
        // candle's side, on candle's own tokens
        theirs = LayerNumbers::new(layer, &theirs)?.candle_all(layer, n)?;
        all.add_transposed(format!("stack {}", l + 1), &theirs);
    }
    all.to_table(page::MATRICES)
}

/// Layers in a table.
fn depth(page: &Page<'_>) -> usize {
    (1..64).take_while(|l| page.matrix(&format!("W1 {l}")).is_ok()).count()
}

fn differences(page: &Page<'_>) -> anyhow::Result<Vec<f64>> {
    (1..=depth(page))
        .map(|l| page.difference(&format!("dual {l}"), &format!("stack {l}")))
        .collect()
}

fn assemble(result: &Table) -> anyhow::Result<Outputs> {
    let table = result.clone().named(page::MATRICES);
    let differences = differences(&Page::new(&table))?;
    let claim = at_most(
        Place { item: ITEM.id, claim: "equal", table: page::MATRICES },
        "Largest difference between the stack's tokens and the composed duals', over the layers",
        largest::value(differences.iter().copied()),
        1e-10,
    );
    let figure = figure(&table, &differences)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec![page::MATRICES])],
        claims: vec![claim],
    })
}

const CELL: f64 = 9.0;
/// Height of a layer's row.
const ROW: f64 = 132.0;
/// Side of an increment's entry.
const SMALL: f64 = 5.0;

fn figure(table: &Table, differences: &[f64]) -> anyhow::Result<Figure> {
    let mut page = Page::new(table);
    let depth = differences.len();
    let own = |kind: &str| -> Vec<String> { (1..=depth).map(|l| format!("{kind} {l}")).collect() };
    let token_names = [vec!["dual 0".to_owned()], own("dual"), own("stack")].concat();
    let tokens = page.range(&token_names.iter().map(String::as_str).collect::<Vec<_>>())?;
    for (l, difference) in differences.iter().enumerate() {
        draw_layer(&mut page, l, tokens, *difference)?;
    }
    let bottom = ROW * depth as f64 + 12.0;
    page.colour_bar([110.0, bottom], tokens, "tokens");
    page.colour_bar([310.0, bottom], [-1.0, 1.0], "W over its layer's largest entry");
    let caption = format!(
        "fig5-multi-layer-scheme. One prompt in {depth} Transformer layers with residual paths. Each layer has one \
         dual for all queries (a constant channel under the values makes W independent of the query); it is trained \
         on the tokens that the duals before predicted, one increment for every demonstration, and W matters only up to a factor. Right: predicted tokens and those of the stack."
    );
    Ok(page.figure(ITEM.id, bottom + 20.0, caption))
}

/// The row of layer `l`.
fn draw_layer(
    page: &mut Page<'_>,
    l: usize,
    tokens: [f64; 2],
    difference: f64,
) -> anyhow::Result<()> {
    let top = ROW * l as f64;
    page.frame([0.0, top], [488.0, ROW - 10.0]);
    page.upright([12.0, top + 61.0], format!("layer {}", l + 1));
    let (_, width) = page.matrix(&format!("dual {l}"))?;
    page.draw(&format!("dual {l}"), "tokens", ([30.0, top + 24.0], CELL), tokens)?;
    page.arrow([90.0, top + 42.0], [112.0, top + 42.0], "");
    let (w0, w1, step) =
        (format!("W0 {}", l + 1), format!("W1 {}", l + 1), format!("step {}", l + 1));
    let steps: Vec<String> = (1..width).map(|i| format!("{step} {i}")).collect();
    let names: Vec<&str> = steps.iter().chain([&w0, &w1]).map(String::as_str).collect();
    let w = page.range(&names)?;
    page.draw(&w0, "W₀ from the query token", ([132.0, top + 20.0], CELL), w)?;
    page.arrow([192.0, top + 42.0], [240.0, top + 42.0], "+ N increments");
    page.draw(&w1, "W₁ for all queries", ([246.0, top + 20.0], CELL), w)?;
    page.arrow([306.0, top + 42.0], [346.0, top + 42.0], "ratio, FFN");
    page.draw(&format!("dual {}", l + 1), "duals", ([352.0, top + 24.0], CELL), tokens)?;
    page.draw(&format!("stack {}", l + 1), "stack", ([424.0, top + 24.0], CELL), tokens)?;
    page.text([415.0, top + 71.0], format!("largest difference {}", short(difference)));
    page.text([80.0, top + 95.0], "increments");
    page.draw_steps(&step, width - 1, ([132.0, top + 88.0], SMALL), 41.0, w)
}
