//! The figure: random keys and queries at the left, the trained layer at the right.

use super::data::{SYNTHETIC, TRAINED};
use super::{Curve, ITEM, Settings, quantiles};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use dual_model::feature_map::{self, Estimate};
use icl_numerics::largest;

/// Rows of panels: column of the measurement, and of its prediction.
const ROWS: [[&str; 3]; 5] = [
    ["kernel, relative MSE", "kernel_mse", "kernel_mse_theory"],
    ["matrix, MSE", "matrix_mse", "matrix_mse_theory"],
    ["output, MSE", "output_mse", "output_mse_theory"],
    ["matrix, MAE", "matrix_mae", "matrix_mae_theory"],
    ["output, MAE", "output_mae", "output_mae_theory"],
];

/// How far an axis reaches below the smallest error of a random map: series go on beyond it.
const DEPTH: f64 = 0.03;

/// Largest relative change by the next order at which a prediction is drawn.
const LARGEST_NEXT: f64 = 1.0;

pub(super) fn figure(settings: &Settings, errors: &Table, z: &Table) -> anyhow::Result<Figure> {
    let mut panels = Vec::new();
    for (i, row) in ROWS.iter().enumerate() {
        for data in [SYNTHETIC, TRAINED] {
            panels.push(panel(errors, data, *row, i == 0)?);
        }
    }
    let of = |data: &str| quantiles(z, data, [0.05, 0.5, 0.95]);
    let ([_, small, _], [low, middle, high]) = (of(SYNTHETIC)?, of(TRAINED)?);
    let curve = Curve::of(errors, TRAINED, "trigonometric")?;
    let (negative, d_r) = (curve.column(errors, "negative")?, curve.column(errors, "d_r")?);
    let caption = format!(
        "Errors of feature attention against exact softmax attention. Left: {n} random queries and \
         keys (d = {d}, z = |q + k|² ≤ {largest}, median {small:.2}), {draws} draws. Right: all {tokens} tokens of one \
         held-out prompt in the trained plain layer (z: median {middle:.1}, 5 to 95 % {low:.1} to {high:.1}), {trained} \
         draws. Black: predictions by first order, drawn where the next order changes them by less than their own size. \
         Exact features (error below 1e-12, under the axis) are as many as keys. Trigonometric estimates have both signs: \
         with {fewest:.0} features {negative:.0} % of the layer's normalisers are negative, near zero the ratio has no \
         bounded mean, and its mean errors are those of a few draws. So it is with Taylor series of odd order where scores are large.",
        n = settings.n_tokens,
        d = settings.d,
        largest = settings.largest_z,
        draws = settings.draws,
        tokens = settings.n_demos + 1,
        trained = settings.trained_draws,
        fewest = d_r[0],
        negative = 100.0 * negative[0],
    );
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 108.0,
        panels,
        caption,
    })
}

/// One quantity on one of both data; `named` series stand in the legend.
fn panel(
    errors: &Table,
    data: &str,
    [title, measured, predicted]: [&str; 3],
    named: bool,
) -> anyhow::Result<Panel> {
    let mut series = Vec::new();
    let (mut all, mut random) = (Vec::new(), Vec::new());
    let maps = feature_map::ALL.iter().filter(|map| map.estimate != Estimate::Exact);
    for (i, map) in maps.enumerate() {
        let curve = Curve::of(errors, data, map.id)?;
        let column = |name: &str| curve.column(errors, name);
        let (x, y) = (column("d_r")?, column(measured)?);
        all.extend(y.clone());
        let name = if named { map.id } else { "" };
        series.push(Series::line(name, Style::of(map.id)?, x.clone(), y));
        if map.estimate == Estimate::Unbiased {
            random.extend(column(measured)?);
            let (theory, next) = (column(predicted)?, column("next_order")?);
            let shown: Vec<usize> = (0..x.len()).filter(|i| next[*i] < LARGEST_NEXT).collect();
            let pick = |of: &[f64]| shown.iter().map(|i| of[*i]).collect::<Vec<f64>>();
            if !shown.is_empty() {
                let name = if named && i == 0 { "predicted" } else { "" };
                series.push(Series::line(name, Style::THEORY, pick(&x), pick(&theory)));
            }
        }
    }
    Ok(Panel::Lines(LinePanel {
        title: format!("{title}, {data}"),
        x: Axis::log("features d_r"),
        y: Axis::log("error").from_to(DEPTH * largest::least(random), 2.0 * largest::value(all)),
        series,
    }))
}
