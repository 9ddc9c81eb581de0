//! The figure: random keys and queries and the trained layer.

use super::data::{SYNTHETIC, TRAINED};
use super::{Curve, ITEM, Settings, quantiles};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use dual_model::feature_map::{self, Estimate};
use icl_numerics::{largest, math};

/// A quantity: its name, its columns measured and predicted, and the power of `d_r` as one over which it falls.
struct Quantity {
    name: &'static str,
    measured: &'static str,
    predicted: &'static str,
    power: f64,
}

const fn quantity(
    name: &'static str,
    measured: &'static str,
    predicted: &'static str,
    power: f64,
) -> Quantity {
    Quantity { name, measured, predicted, power }
}

const KERNEL: Quantity = quantity("kernel", "kernel_mse", "kernel_mse_theory", 1.0);
const MATRIX: Quantity = quantity("matrix", "matrix_mse", "matrix_mse_theory", 1.0);
const OUTPUT: Quantity = quantity("output", "output_mse", "output_mse_theory", 1.0);
const MATRIX_MAE: Quantity = quantity("matrix", "matrix_mae", "matrix_mae_theory", 0.5);
const OUTPUT_MAE: Quantity = quantity("output", "output_mae", "output_mae_theory", 0.5);

/// Panels in rows of three: mean squared errors on both data, and mean absolute ones.
const PANELS: [(&Quantity, &str); 9] = [
    (&KERNEL, SYNTHETIC),
    (&MATRIX, SYNTHETIC),
    (&OUTPUT, SYNTHETIC),
    (&KERNEL, TRAINED),
    (&MATRIX, TRAINED),
    (&OUTPUT, TRAINED),
    (&MATRIX_MAE, SYNTHETIC),
    (&OUTPUT_MAE, SYNTHETIC),
    (&OUTPUT_MAE, TRAINED),
];

/// How far an axis reaches beyond the errors of random maps: series go on beyond it.
const ROOM: f64 = 2.0;

/// Largest relative change by the next order at which a prediction is drawn.
const LARGEST_NEXT: f64 = 1.0;

pub(super) fn figure(settings: &Settings, errors: &Table, z: &Table) -> anyhow::Result<Figure> {
    let panels = PANELS.iter().enumerate();
    let panels = panels.map(|(i, (quantity, data))| panel(errors, data, quantity, i == 0));
    let panels = panels.collect::<anyhow::Result<Vec<_>>>()?;
    let of = |data: &str| quantiles(z, data, [0.05, 0.5, 0.95]);
    let ([_, small, _], [low, middle, high]) = (of(SYNTHETIC)?, of(TRAINED)?);
    let curve = Curve::of(errors, TRAINED, "trigonometric")?;
    let (negative, d_r) = (curve.column(errors, "negative")?, curve.column(errors, "d_r")?);
    let caption = format!(
        "Errors of feature attention against exact softmax attention (the kernel's relative to it). Synthetic: {n} random \
         queries and keys (d = {d}, z = |q + k|² ≤ {largest}, median {small:.2}), {draws} draws; mean squared errors \
         are shown times d_r and mean absolute ones times its root, so that what falls as one over the number of \
         features is level. Trained: all {tokens} tokens of one held-out prompt in the trained plain layer (z: median \
         {middle:.1}, 5 to 95 % {low:.1} to {high:.1}), {trained} draws. Black: predictions by first order, drawn where the next order changes them by less than their own size. \
         Exact features, of which there are as many as keys, have errors below 1e-12 and are not drawn; diamonds at an edge go beyond it. Trigonometric estimates have both signs: \
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
        columns: 3,
        shares: vec![],
        panel_height: 112.0,
        panels,
        caption,
    })
}

/// One quantity on one of both data; `named` series stand in the legend.
fn panel(errors: &Table, data: &str, quantity: &Quantity, named: bool) -> anyhow::Result<Panel> {
    let level = data == SYNTHETIC;
    let mut series = Vec::new();
    let mut random = Vec::new();
    let maps = feature_map::ALL.iter().filter(|map| map.estimate != Estimate::Exact);
    for (i, map) in maps.enumerate() {
        let curve = Curve::of(errors, data, map.id)?;
        let x = curve.column(errors, "d_r")?;
        let column = |name: &str| -> anyhow::Result<Vec<f64>> {
            let power = if level { quantity.power } else { 0.0 };
            let y = curve.column(errors, name)?;
            Ok(y.iter().zip(&x).map(|(y, x)| y * math::powf(*x, power)).collect())
        };
        let y = column(quantity.measured)?;
        if map.estimate == Estimate::Unbiased {
            random.extend(y.clone());
            let next = curve.column(errors, "next_order")?;
            let theory = column(quantity.predicted)?;
            let shown: Vec<usize> = (0..x.len()).filter(|i| next[*i] < LARGEST_NEXT).collect();
            let pick = |of: &[f64]| shown.iter().map(|i| of[*i]).collect::<Vec<f64>>();
            if !shown.is_empty() {
                let name = if named && i == 0 { "predicted" } else { "" };
                series.push(Series::line(name, Style::THEORY, pick(&x), pick(&theory)));
            }
        }
        let name = if named { map.id } else { "" };
        series.push(Series::line(name, Style::of(map.id)?, x.clone(), y));
    }
    let (error, factor) = match quantity.power {
        1.0 => ("MSE", "d_r"),
        _ => ("MAE", "√d_r"),
    };
    let error = format!("{} {error}", quantity.name);
    let error = if level { format!("{error} × {factor}") } else { error };
    let ends = [largest::least(random.clone()) / ROOM, largest::value(random) * ROOM];
    Ok(Panel::Lines(LinePanel {
        title: data.into(),
        x: Axis::log("features d_r"),
        y: Axis::log(&error).from_to(ends[0], ends[1]),
        series,
    }))
}
