//! The figure.

use super::ITEM;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::around;
use artifact::table::Table;
use icl_numerics::largest;

pub(super) fn figure(draws: usize, law: &Table) -> anyhow::Result<Figure> {
    let (z, m) = (law.floats("z")?, law.numbers("features")?);
    let (measured, predicted) = (law.floats("measured")?, law.floats("predicted")?);
    let errors = law.floats("standard_error")?;
    let mut sizes: Vec<f64> = m.clone();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let mut series = Vec::new();
    for (i, size) in sizes.iter().enumerate() {
        let rows: Vec<usize> = (0..m.len()).filter(|r| m[*r] == *size).collect();
        let pick = |x: &[f64]| rows.iter().map(|r| x[*r]).collect::<Vec<f64>>();
        let (name, style) = (format!("{size} features"), Style::shade(i, sizes.len()));
        let band = |side: usize| -> Vec<f64> {
            let end = |r: &usize| around(measured[*r], errors[*r])[side];
            // a logarithmic axis has no place for the lower end of a wide interval
            rows.iter().map(|r| largest::at_least(end(r), measured[*r] / 10.0)).collect()
        };
        let points = Series::points(&name, style, pick(&z), pick(&measured));
        series.push(points.with_band(band(0), band(1)));
        let label = if i == 0 { "prediction" } else { "" };
        series.push(Series::line(label, Style::THEORY, pick(&z), pick(&predicted)));
    }
    let panel = LinePanel {
        title: "relative error of a kernel entry".into(),
        x: Axis::linear("z = |x + y|²"),
        y: Axis::log("root mean square relative error"),
        series,
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 1,
        shares: vec![],
        panel_height: 150.0,
        panels: vec![Panel::Lines(panel)],
        caption: format!(
            "Relative error of positive features measured over {draws} draws (markers, 95 % \
             band) and predicted, sqrt((exp(z) − 1)/m) (dashed). Where the prediction exceeds one, a sample no \
             longer finds the tail that makes the error, and the measurement falls below it. Bands are cut at a tenth of the value."
        ),
    })
}
