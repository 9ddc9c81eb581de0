//! Drawing of the item.

use super::layers::{Layer, Reference};
use super::method::Method;
use super::{ITEM, Settings};
use crate::named::Named as _;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use icl_numerics::largest;

/// The curve of a method or layer.
fn line(curves: &Table, name: &str, style: Style) -> anyhow::Result<Series> {
    let (methods, n) = (curves.texts("method")?, curves.numbers("n_demos")?);
    let rows: Vec<usize> = (0..n.len()).filter(|i| methods[*i] == name).collect();
    let column = |name: &str| -> anyhow::Result<Vec<f64>> {
        let values = curves.floats(name)?;
        Ok(rows.iter().map(|i| largest::at_least(values[*i], 1e-6)).collect())
    };
    let x = rows.iter().map(|i| n[*i]).collect();
    Ok(Series::line(name, style, x, column("relative_loss")?)
        .with_band(column("lower")?, column("upper")?))
}

/// Points of a floor.
fn floor(references: &Table, reference: Reference) -> anyhow::Result<Series> {
    let (names, n) = (references.texts("reference")?, references.numbers("n_demos")?);
    let losses = references.floats("relative_loss")?;
    let rows = || (0..n.len()).filter(|i| names[*i] == reference.name());
    let (x, y) = (rows().map(|i| n[i]).collect(), rows().map(|i| losses[i]).collect());
    Ok(Series::points(reference.name(), Style::of(reference.name())?, x, y))
}

/// Trained layers with their references, and predictors without training.
pub(super) fn figure(
    settings: &Settings,
    curves: &Table,
    references: &Table,
) -> anyhow::Result<Figure> {
    let panel = |title: &str, series: Vec<Series>| {
        let (x, y) = (Axis::linear("demonstrations N"), Axis::linear("loss / E[y²]"));
        Panel::Lines(LinePanel { title: title.into(), x, y, series })
    };
    let mut learned = vec![
        line(curves, Method::OneStep.name(), Style::of(Method::OneStep.name())?)?,
        line(curves, Method::LeastSquares.name(), Style::of(Method::LeastSquares.name())?)?,
    ];
    for layer in Layer::ALL {
        learned.push(line(curves, layer.name(), Style::of(layer.name())?)?);
    }
    learned.push(floor(references, Reference::OneHead)?);
    learned.push(floor(references, Reference::TwoHeads)?);
    let classical: Vec<Series> = Method::ALL
        .iter()
        .map(|method| line(curves, method.name(), Style::of(method.name())?))
        .collect::<anyhow::Result<_>>()?;
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 165.0,
        panels: vec![panel("trained layers", learned), panel("without training", classical)],
        caption: format!(
            "Linear regression in context, d = {}, noiseless labels; loss relative to the labels' \
             mean square. Left: attention over the demonstrations only, trained for every N, heads started with \
             opposite signs; mean and 95 % band over {} seeds; points: the lowest loss of one head and of two; grey \
             and dashed: one gradient step and least squares. Right: predictors with settings tuned on other \
             problems; 95 % band over {} blocks of {} problems.",
            settings.d,
            settings.seeds,
            settings.blocks,
            settings.problems / settings.blocks
        ),
    })
}
