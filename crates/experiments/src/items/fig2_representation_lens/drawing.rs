//! The figure: three columns, one for every way to learn.

use super::ITEM;
use super::claims::{shares, whole};
use crate::scheme::page::Page;
use crate::scheme::prompt::Settings;
use artifact::figure::Figure;
use artifact::statistics::share_interval;
use artifact::table::Table;
use icl_numerics::order;

const CELL: f64 = 9.0;
/// Where the columns begin, and how wide they are.
const LEFT: [f64; 3] = [0.0, 168.0, 336.0];
const WIDTH: f64 = 152.0;
/// Matrices on the scale of tokens.
const VALUES: [&str; 2] = ["values", "pulls"];
/// Matrices on the scale of what is added to the prediction.
const INCREMENTS: [&str; 6] = [
    "without: increments",
    "contrastive: increments",
    "in context: increments",
    "without: prediction",
    "contrastive: prediction",
    "in context: prediction",
];

/// A way to learn: what its column shows.
struct Scheme {
    title: &'static str,
    loss: &'static str,
    /// Matrix of what pulls, with its label.
    pulls: [&'static str; 2],
    /// Prefix of its matrices.
    prefix: &'static str,
    /// What is said of its increments.
    says: &'static str,
}

const SCHEMES: [Scheme; 3] = [
    Scheme {
        title: "learning without negatives",
        loss: "L = −Σᵢ vᵢᵀWφ(kᵢ) / (ηD)",
        pulls: ["values", "pulled by vᵢ"],
        prefix: "without",
        says: "= attention's terms",
    },
    Scheme {
        title: "contrastive kernel learning",
        loss: "L = −τ Σᵢ ln pᵢᵢ / (ηD)",
        pulls: ["pulls", "vᵢ − Σⱼ pᵢⱼ vⱼ"],
        prefix: "contrastive",
        says: "attention to mixed values",
    },
    Scheme {
        title: "in-context learning",
        loss: "h′ = Σᵢ softmax(kᵢ·q) vᵢ, no loss",
        pulls: ["values", "values vᵢ"],
        prefix: "in context",
        says: "one forward pass",
    },
];

pub(super) fn figure(
    settings: &Settings,
    matrices: &Table,
    prompts: &Table,
) -> anyhow::Result<Figure> {
    let mut page = Page::new(matrices);
    for (scheme, left) in SCHEMES.iter().zip(LEFT) {
        column(&mut page, scheme, left)?;
    }
    right_of_pulls(&mut page)?;
    let gained = page.range(&["without: gained", "contrastive: gained"])?;
    for (scheme, left) in SCHEMES.iter().zip(LEFT).take(2) {
        let name = format!("{}: gained", scheme.prefix);
        page.draw(&name, "similarities vⱼᵀWφ(kᵢ) gain", ([left + 53.5, 182.0], CELL), gained)?;
        let (all, n) = page.matrix(&name)?;
        let own: Vec<f64> = (0..n).map(|i| all[i * n + i]).collect();
        numbers(&mut page, left, &own, "own pair");
    }
    let (weights, _) = page.matrix("in context: weights")?;
    numbers(&mut page, LEFT[2], &weights, "weight");
    page.text([LEFT[2] + WIDTH / 2.0, 196.0], "nothing is trained:");
    page.text([LEFT[2] + WIDTH / 2.0, 207.0], "no W, no similarities to change");
    let (values, increments) = (page.range(&VALUES)?, page.range(&INCREMENTS)?);
    page.colour_bar([38.0, 268.0], values, "values");
    page.colour_bar([158.0, 268.0], increments, "increments, predictions");
    let shares = page.range(&["shares"])?;
    page.colour_bar([278.0, 268.0], [0.0, shares[1]], "shares, weights");
    page.colour_bar([398.0, 268.0], gained, "gains");
    Ok(page.figure(ITEM.id, 290.0, caption(settings, prompts)?))
}

fn column(page: &mut Page<'_>, scheme: &Scheme, left: f64) -> anyhow::Result<()> {
    let middle = left + WIDTH / 2.0;
    let (values, increments) = (page.range(&VALUES)?, page.range(&INCREMENTS)?);
    page.heading([middle, 8.0], scheme.title);
    page.text([middle, 20.0], scheme.loss);
    page.frame([left, 28.0], [WIDTH, 218.0]);
    let [pulls, label] = scheme.pulls;
    page.draw(pulls, label, ([left + 16.0, 48.0], CELL), values)?;
    let name = format!("{}: increments", scheme.prefix);
    page.arrow([left + 38.5, 88.0], [left + 38.5, 104.0], "");
    page.draw(&name, "added to f(q)", ([left + 16.0, 118.0], CELL), increments)?;
    page.arrow([left + 68.0, 136.0], [left + 92.0, 136.0], "+W₀φ(q)");
    let name = format!("{}: prediction", scheme.prefix);
    page.draw_column(&name, "prediction", ([left + 100.0, 118.0], CELL), increments)?;
    page.text([middle, 164.0], scheme.says);
    Ok(())
}

/// At the right of what pulls: how much of it reaches the query, or where it comes from.
fn right_of_pulls(page: &mut Page<'_>) -> anyhow::Result<()> {
    let top = page.range(&["shares"])?[1];
    let place = |left: f64, y: f64| ([left + 92.0, y], CELL);
    for left in [LEFT[0], LEFT[2]] {
        let label = if left == 0.0 { "K(kᵢ, q) / D" } else { "softmax(kᵢ·q)" };
        page.draw("in context: weights", label, place(left, 61.0), [0.0, top])?;
    }
    page.draw("shares", "shares pᵢⱼ", place(LEFT[1], 48.0), [0.0, top])?;
    Ok(())
}

/// One number for every demonstration, at the bottom of a column.
fn numbers(page: &mut Page<'_>, left: f64, values: &[f64], label: &str) {
    let width = (WIDTH - 40.0) / values.len() as f64;
    for (i, x) in values.iter().enumerate() {
        page.small([left + 36.0 + width * (i as f64 + 0.5), 238.0], two_digits(*x));
    }
    page.small([left + 19.0, 238.0], label);
}

/// A number with about two digits.
fn two_digits(x: f64) -> String {
    let text = if x.abs() < 10.0 { format!("{x:.2}") } else { format!("{x:.0}") };
    text.replace('-', "−")
}

fn caption(settings: &Settings, prompts: &Table) -> anyhow::Result<String> {
    let pairs = order::mean(&shares(settings, prompts, "similar_without")?).unwrap_or(f64::NAN);
    let (all, n) = whole(settings, prompts, "similar_without")?;
    let [low, high] = share_interval(all, n);
    let percent = |x: f64| format!("{:.0} %", 100.0 * x);
    Ok(format!(
        "Three ways to learn from the same {demos} pairs of a key kᵢ and a value vᵢ (one column each), \
         from the same W₀, drawn for one held-out prompt. Left: one gradient step of a loss that pulls Wφ(kᵢ) towards vᵢ. \
         Middle: one gradient step of a softmax loss in which the other values are negatives, pᵢⱼ = softmax over j of \
         vⱼᵀW₀φ(kᵢ)/τ, τ = {tau}. Right: attention's forward pass. Left and right coincide term by term; the contrastive step is \
         attention too, to values less a softmax mean of all. Bottom: what the steps add to similarities, and to those of a \
         pair's own value as numbers. A step raises the sum of these for certain, a single one not: over {n} held-out prompts \
         the left one raises {pairs} of them, and all {demos} of a prompt in {all} of the prompts (95 %: {low} to {high}). A \
         dash says that an entry is negative.",
        demos = settings.n_demos,
        tau = settings.temperature,
        pairs = percent(pairs),
        all = percent(all),
        low = percent(low),
        high = percent(high),
    ))
}
