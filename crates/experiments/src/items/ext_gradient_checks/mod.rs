//! The dual's training, checked from the definition: the loss is linear, its gradient constant, the steps
//! commute, and the loss has no minimum.

mod claims;
mod drawing;
mod outputs;

use crate::item::{Context, Item, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::table::{ColumnType, Table};
use dual_model::Matrix;
use dual_model::dual::KeyValue;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::{Positive, gaussian_rows};
use dual_model::head::key_scale;
use dual_model::modification::ModifiedLoss;
use icl_numerics::finite_difference::gradient;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-gradient-checks",
    paper: "beyond the paper",
    claim: "The dual's steps are gradient steps on its stated losses; the loss is linear and has no minimum",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    n_demos: usize,
    d: usize,
    d_r: usize,
    eta: f64,
    epochs: usize,
    seeds: u64,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let sizes = [settings.n_demos, settings.d, settings.d_r, settings.epochs];
    if sizes.iter().any(|x| !(1..=4096).contains(x)) {
        let found = format!("{sizes:?}");
        return Err(file.refuse("n_demos, d, d_r, epochs", &found, "1 to 4096 each"));
    }
    if !(settings.eta > 0.0 && settings.eta.is_finite()) {
        return Err(file.refuse("eta", &settings.eta.to_string(), "a positive number"));
    }
    let seeds = settings.seeds;
    let cells = (0..seeds).map(|seed| cell(&settings, seed)).collect();
    Ok(Plan::new(cells, |results| outputs::assemble(&results.all())))
}

/// The rows of a cell that are not epochs, in order.
const CHECKS: [&str; 7] =
    ["plain", "regularised", "augmented", "negative", "elsewhere", "linearity", "order"];

fn cell(settings: &Settings, seed: u64) -> Cell {
    let settings = settings.clone();
    Cell::new(
        format!("seed {seed}"),
        (settings.d * settings.d_r * settings.n_demos) as f64 / 1e5,
        json!({ "kind": "gradient-checks/1", "settings": settings, "seed": seed }),
        vec![
            ("seed".into(), ColumnType::Integer),
            ("check".into(), ColumnType::Text),
            ("epoch".into(), ColumnType::Integer),
            ("value".into(), ColumnType::Float),
        ],
        move |_| measure(&settings, seed),
    )
}

/// Demonstrations, the query side and the query.
struct Prompt {
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
    query: Vec<f64>,
}

impl Prompt {
    fn new(settings: &Settings, seed: u64) -> Self {
        // logits of order one
        let scale = key_scale(settings.d);
        let rows = |purpose: &str, n: usize, factor: f64| -> Vec<Vec<f64>> {
            let rows = gaussian_rows(&Stream::new(seed, purpose), n, settings.d);
            rows.into_iter().map(|row| row.into_iter().map(|x| factor * x).collect()).collect()
        };
        Self {
            keys: rows("gradients/keys", settings.n_demos + 1, scale),
            values: rows("gradients/values", settings.n_demos + 1, 1.0),
            query: rows("gradients/query", 1, scale).concat(),
        }
    }

    fn pairs(&self) -> (Vec<KeyValue<'_>>, Vec<KeyValue<'_>>) {
        let pairs = self.keys.iter().zip(&self.values);
        let mut all: Vec<KeyValue<'_>> =
            pairs.map(|(key, value)| KeyValue { key, value }).collect();
        let side = all.split_off(all.len() - 1);
        (all, side)
    }
}

fn measure(settings: &Settings, seed: u64) -> anyhow::Result<Table> {
    let omegas = gaussian_rows(&Stream::new(seed, "gradients/omega"), settings.d_r, settings.d);
    let map = Positive::new(omegas);
    let prompt = Prompt::new(settings, seed);
    let mut values = modified(settings, &map, &prompt)?;
    values.extend(linear(settings, &map, &prompt, seed)?);
    values.push(any_order(&map, &prompt, seed)?);
    let losses = epochs(settings, &map, &prompt)?;
    let checks = CHECKS.iter().copied().chain(std::iter::repeat_n("loss", losses.len()));
    let numbers = std::iter::repeat_n(0, CHECKS.len()).chain(0..losses.len() as i64);
    let table = Table::builder("checks")
        .integers("seed", vec![seed as i64; CHECKS.len() + losses.len()])
        .texts("check", &checks.collect::<Vec<_>>())
        .integers("epoch", numbers.collect())
        .floats("value", values.into_iter().chain(losses).collect())
        .build()?;
    Ok(table)
}

/// Largest difference relative to the largest entry of `want`.
fn relative(got: &[f64], want: &[f64]) -> f64 {
    largest::difference(got, want) / largest::magnitude(want.iter().copied())
}

/// For plain and each modified loss: the dual's full-batch step against `-eta` times central differences
/// of the loss at `W_0`.
fn modified(settings: &Settings, map: &Positive, prompt: &Prompt) -> anyhow::Result<Vec<f64>> {
    let (demonstrations, side) = prompt.pairs();
    let others = |i: usize| (0..settings.n_demos).filter(|j| *j != i).collect::<Vec<usize>>();
    let sets: Vec<Vec<usize>> = (0..settings.n_demos).map(others).collect();
    // any smooth maps of keys and values
    let keys = |x: &[f64]| x.iter().map(|x| x + 0.1 * x * x).collect::<Vec<f64>>();
    let values = |x: &[f64]| x.iter().map(|x| 0.5 * x - 0.2 * x * x).collect::<Vec<f64>>();
    let losses = [
        ModifiedLoss::PLAIN,
        ModifiedLoss { alpha: 0.3, ..ModifiedLoss::PLAIN },
        ModifiedLoss { keys: Some(&keys), values: Some(&values), ..ModifiedLoss::PLAIN },
        ModifiedLoss { negatives: Some((0.4, &sets)), ..ModifiedLoss::PLAIN },
    ];
    let mut errors = Vec::new();
    for loss in &losses {
        let owned = loss.training_pairs(&demonstrations)?;
        let pairs: Vec<KeyValue<'_>> =
            owned.iter().map(|(key, value)| KeyValue { key, value }).collect();
        let mut dual = FeatureDual::initial(map, &pairs, &side, &prompt.query)?;
        let start = dual.weights().clone();
        let (rows, columns) = (start.rows(), start.columns());
        let objective = |w: &[f64]| {
            let linear = Matrix::new(rows, columns, w.to_vec())
                .and_then(|w| dual.loss(&w, &pairs, settings.eta));
            let decay = loss.alpha / (2.0 * settings.eta) * order::sum_of_squares(w);
            linear.map_or(f64::NAN, |linear| linear + decay)
        };
        let slope = gradient(objective, start.entries());
        if loss.alpha != 0.0 {
            dual.scale(1.0 - loss.alpha);
        }
        pairs.iter().try_for_each(|pair| dual.step(*pair))?;
        let minus_eta_slope: Vec<f64> = slope.iter().map(|g| -settings.eta * g).collect();
        let taken: Vec<f64> =
            dual.weights().entries().iter().zip(start.entries()).map(|(a, b)| a - b).collect();
        errors.push(relative(&taken, &minus_eta_slope));
    }
    Ok(errors)
}

/// The gradient at a random `W` against central differences there, and `L(aW + bU) = aL(W) + bL(U)`.
fn linear(
    settings: &Settings,
    map: &Positive,
    prompt: &Prompt,
    seed: u64,
) -> anyhow::Result<[f64; 2]> {
    let (demonstrations, side) = prompt.pairs();
    let dual = FeatureDual::initial(map, &demonstrations, &side, &prompt.query)?;
    let random = |purpose: &str| {
        gaussian_rows(&Stream::new(seed, purpose), settings.d, settings.d_r).concat()
    };
    let loss = |w: &[f64]| -> anyhow::Result<f64> {
        let w = Matrix::new(settings.d, settings.d_r, w.to_vec())?;
        Ok(dual.loss(&w, &demonstrations, settings.eta)?)
    };
    let (w, u) = (random("gradients/w"), random("gradients/u"));
    let elsewhere = gradient(|w| loss(w).unwrap_or(f64::NAN), &w);
    let stated = dual.gradient(&demonstrations, settings.eta)?;
    let (a, b) = (1.75, -0.625);
    let mixed: Vec<f64> = w.iter().zip(&u).map(|(w, u)| a * w + b * u).collect();
    let (of_w, of_u) = (loss(&w)?, loss(&u)?);
    let size = largest::magnitude([of_w, of_u]);
    let deviation = (loss(&mixed)? - (a * of_w + b * of_u)).abs() / size;
    Ok([relative(&elsewhere, stated.entries()), deviation])
}

/// Final prediction in a shuffled order against that in order.
fn any_order(map: &Positive, prompt: &Prompt, seed: u64) -> anyhow::Result<f64> {
    let (demonstrations, side) = prompt.pairs();
    let train = |order: &[usize]| -> anyhow::Result<Vec<f64>> {
        let mut dual = FeatureDual::initial(map, &demonstrations, &side, &prompt.query)?;
        order.iter().try_for_each(|i| dual.step(demonstrations[*i]))?;
        Ok(dual.predict(&prompt.query)?)
    };
    let stream = Stream::new(seed, "gradients/order");
    let shuffled = stream.sample(0).permutation(demonstrations.len());
    let in_order: Vec<usize> = (0..demonstrations.len()).collect();
    Ok(relative(&train(&shuffled)?, &train(&in_order)?))
}

/// The loss before training and after every epoch.
fn epochs(settings: &Settings, map: &Positive, prompt: &Prompt) -> anyhow::Result<Vec<f64>> {
    let (demonstrations, side) = prompt.pairs();
    let mut dual = FeatureDual::initial(map, &demonstrations, &side, &prompt.query)?;
    let loss =
        |dual: &FeatureDual<'_, Positive>| dual.loss(dual.weights(), &demonstrations, settings.eta);
    let mut losses = vec![loss(&dual)?];
    for _ in 0..settings.epochs {
        demonstrations.iter().try_for_each(|pair| dual.step(*pair))?;
        losses.push(loss(&dual)?);
    }
    Ok(losses)
}
