//! In-context learning as representation learning: pairs of a prompt before and after the dual's step.

use crate::item::{Context, Item, Outputs, Plan};
use crate::scheme::page::{self, Matrices, Page, short};
use crate::scheme::prompt::{SchemePrompt, Settings};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::{Place, at_most};
use artifact::figure::Figure;
use artifact::table::Table;
use dual_model::Matrix;
use dual_model::dual::KeyValue;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::FeatureMap as _;
use icl_model::device::Device;
use icl_numerics::largest;
use icl_numerics::order;
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig2-representation-lens",
    paper: "Figure 2",
    claim: "The dual's step aligns each key's prediction with its own value, as learning without negatives does, and \
         by exactly what the kernel predicts",
    plan: &plan,
};

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings = Settings::read(file, context.profile)?;
    let device = context.device;
    let cell = Cell::new(
        page::MATRICES,
        0.01,
        json!({ "kind": "representation-lens/1", "settings": settings }),
        page::schema(),
        move |_| matrices(&settings, device),
    );
    Ok(Plan::new(vec![cell], |results| assemble(results.get(page::MATRICES)?)))
}

fn matrices(settings: &Settings, device: Device) -> anyhow::Result<Table> {
    let prompt = SchemePrompt::new(settings, device)?;
    let (map, n) = (prompt.features(), settings.n_demos);
    let (demonstrations, side) = prompt.pairs();
    let mut dual = FeatureDual::initial(&map, &demonstrations, &side, prompt.query())?;
    let predictions = |dual: &FeatureDual<'_, _>| -> anyhow::Result<Vec<Vec<f64>>> {
        demonstrations.iter().map(|pair| Ok(dual.predict(pair.key)?)).collect()
    };
    let similarities = |f: &[Vec<f64>]| -> Vec<f64> {
        f.iter().zip(&demonstrations).map(|(f, pair)| order::dot(f, pair.value)).collect()
    };
    let before = predictions(&dual)?;
    demonstrations.iter().try_for_each(|pair| dual.step(*pair))?;
    let after = predictions(&dual)?;
    let phi: Vec<Vec<f64>> = prompt.head.keys.iter_rows().map(|k| map.key_features(k)).collect();
    let products = |rows: &[Vec<f64>]| Matrix::from_fn(n, n, |i, j| order::dot(&rows[i], &rows[j]));
    let mut all = Matrices::default();
    let of = |part: fn(&KeyValue<'_>) -> Vec<f64>| -> Vec<Vec<f64>> {
        demonstrations.iter().map(part).collect()
    };
    let values = of(|pair| pair.value.to_vec());
    all.add_columns("keys", &of(|pair| pair.key.to_vec()));
    all.add_columns("values", &values);
    all.add_columns("before", &before);
    all.add_columns("after", &after);
    all.add("similarity before", Matrix::new(1, n, similarities(&before))?);
    all.add("similarity after", Matrix::new(1, n, similarities(&after))?);
    let (kernel, gram) = (products(&phi), products(&values));
    // D = sum_j K(k_j, q) over all tokens
    let phi_q = map.query_features(prompt.query());
    let d: f64 = phi.iter().map(|phi| order::dot(phi, &phi_q)).sum();
    let gain = (0..n)
        .map(|i| {
            let terms: Vec<f64> = (0..n).map(|j| gram.row(i)[j] * kernel.row(i)[j]).collect();
            order::sum(&terms) / d
        })
        .collect();
    all.add("kernel", kernel);
    all.add("gram", gram);
    all.add("gain", Matrix::new(1, n, gain)?);
    all.to_table(page::MATRICES)
}

fn assemble(result: &Table) -> anyhow::Result<Outputs> {
    let table = result.clone().named(page::MATRICES);
    let page = Page::new(&table);
    let row = |name: &str| -> anyhow::Result<Vec<f64>> { Ok(page.matrix(name)?.0) };
    let (before, after, gain) = (row("similarity before")?, row("similarity after")?, row("gain")?);
    let error = before.iter().zip(&after).zip(&gain).map(|((b, a), g)| (a - b - g).abs());
    let least = largest::value(before.iter().zip(&after).map(|(b, a)| b - a));
    let place = |name| Place { item: ITEM.id, claim: name, table: page::MATRICES };
    let claims = vec![
        at_most(
            place("kernel"),
            "What a pair's similarity gains, against the kernel's sum",
            largest::value(error),
            1e-12,
        ),
        at_most(
            place("aligned"),
            "Change of a pair's similarity, sign reversed: every pair becomes more similar",
            least,
            0.0,
        ),
    ];
    let figure = figure(&table)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec![page::MATRICES])],
        claims,
    })
}

const CELL: f64 = 9.0;
/// Where the three columns begin.
const LEFT: [f64; 3] = [0.0, 168.0, 336.0];
const WIDTH: f64 = 152.0;

fn figure(table: &Table) -> anyhow::Result<Figure> {
    let mut page = Page::new(table);
    let n = page.matrix("gain")?.1;
    let titles =
        ["learning without negatives", "contrastive kernel learning", "in-context learning"];
    let subtitles = [
        "predictor W₀, before training",
        "what the step adds to a pair",
        "W₁, after one gradient step",
    ];
    for ((left, title), subtitle) in LEFT.iter().zip(titles).zip(subtitles) {
        page.heading([left + WIDTH / 2.0, 8.0], title);
        page.text([left + WIDTH / 2.0, 20.0], subtitle);
        page.frame([*left, 28.0], [WIDTH, 196.0]);
    }
    pairs(&mut page, LEFT[0], ["before", "W₀ φ(K)"], "similarity before")?;
    pairs(&mut page, LEFT[2], ["after", "W₁ φ(K)"], "similarity after")?;
    kernel(&mut page, LEFT[1])?;
    page.arrow([LEFT[0] + WIDTH + 1.0, 120.0], [LEFT[1] - 1.0, 120.0], "");
    page.arrow([LEFT[1] + WIDTH + 1.0, 120.0], [LEFT[2] - 1.0, 120.0], "");
    let tokens = page.range(&TOKENS)?;
    page.colour_bar([46.0, 244.0], tokens, "keys, values, predictions");
    let (kernel, gram) = (page.range(&["kernel"])?, page.range(&["gram"])?);
    page.colour_bar([214.0, 244.0], kernel, "kernel");
    page.colour_bar([382.0, 244.0], gram, "products of values");
    let caption = format!(
        "fig2-representation-lens. The {n} demonstrations of one prompt as positive pairs (one column each): the \
         dual maps a key to W φ(k), and its loss −Σ vᵀW φ(k) pulls this towards the demonstration's own value, \
         with no negative pair. Numbers: similarity vᵀW φ(k) of each pair. In the middle the same in terms of the \
         kernel: the step adds Σⱼ (vᵢ·vⱼ) K(kᵢ, kⱼ) / D to the similarity of pair i."
    );
    Ok(page.figure(ITEM.id, 266.0, caption))
}

/// Matrices on the tokens' scale.
const TOKENS: [&str; 4] = ["keys", "values", "before", "after"];

/// Keys, predictions and values of all pairs, with their similarities.
fn pairs(
    page: &mut Page<'_>,
    left: f64,
    [prediction, label]: [&str; 2],
    similarity: &str,
) -> anyhow::Result<()> {
    let range = page.range(&TOKENS)?;
    let at = left + 50.0;
    page.draw("keys", "keys K", ([at, 46.0], CELL), range)?;
    page.arrow([at + 22.5, 84.0], [at + 22.5, 98.0], "");
    page.draw(prediction, label, ([at, 112.0], CELL), range)?;
    page.arrow([at + 22.5, 162.0], [at + 22.5, 150.0], "");
    page.draw("values", "", ([at, 164.0], CELL), range)?;
    page.text([left + 24.0, 182.0], "values V");
    page.text([left + 24.0, 156.0], "pulls");
    numbers(page, left, similarity, "vᵀW φ(k)")
}

/// One number for every pair below its column.
fn numbers(page: &mut Page<'_>, left: f64, name: &str, label: &str) -> anyhow::Result<()> {
    let (values, n) = page.matrix(name)?;
    let width = (WIDTH - 40.0) / n as f64;
    for (i, x) in values.into_iter().enumerate() {
        page.small([left + 36.0 + width * (i as f64 + 0.5), 214.0], short(x));
    }
    page.small([left + 19.0, 214.0], label);
    Ok(())
}

fn kernel(page: &mut Page<'_>, left: f64) -> anyhow::Result<()> {
    let at = left + 53.5;
    let (kernel, gram) = (page.range(&["kernel"])?, page.range(&["gram"])?);
    page.draw("kernel", "K(kᵢ, kⱼ) = φ(kᵢ)·φ(kⱼ)", ([at, 50.0], CELL), kernel)?;
    page.text([left + WIDTH / 2.0, 108.0], "times");
    page.draw("gram", "vᵢ · vⱼ", ([at, 130.0], CELL), gram)?;
    page.text([left + WIDTH / 2.0, 190.0], "summed over j, over D");
    numbers(page, left, "gain", "gain")
}
