//! The figure: exact, four numbers of features, and the last one's error.

use super::{ITEM, Settings};
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::table::Table;
use icl_numerics::{largest, order};

fn heat(title: String, columns: usize, entries: Vec<f64>, range: [f64; 2]) -> Panel {
    Panel::Heat(HeatPanel {
        title,
        x_label: "key".into(),
        y_label: "query".into(),
        columns,
        entries,
        range,
        names: [vec![], vec![]],
    })
}

/// Mean over prompts of a column at a number of features.
fn mean(prompts: &Table, d_r: i64, column: &str) -> anyhow::Result<f64> {
    let (features, values) = (prompts.integers("features")?, prompts.floats(column)?);
    let own: Vec<f64> =
        features.iter().zip(values).filter(|(m, _)| **m == d_r).map(|(_, x)| x).collect();
    Ok(order::mean(&own).unwrap_or(f64::NAN))
}

/// A percentage in few characters.
fn percent(x: f64) -> String {
    if x < 100.0 { format!("{:.0} %", 100.0 * x) } else { format!("{:.0e} %", 100.0 * x) }
}

pub(super) fn figure(
    settings: &Settings,
    weights: &Table,
    prompts: &Table,
) -> anyhow::Result<Figure> {
    let n = settings.n_demos + 1;
    let (features, entries) = (weights.integers("features")?, weights.floats("weight")?);
    let matrices: Vec<(i64, &[f64])> = entries
        .chunks_exact(n * n)
        .zip(features.chunks_exact(n * n))
        .map(|(entries, features)| (features[0], entries))
        .collect();
    let exact = matrices[0].1;
    let range = [0.0, largest::value(entries.iter().copied())];
    let mut panels = vec![heat("exact".into(), n, exact.to_vec(), range)];
    for (d_r, matrix) in &matrices[1..] {
        let error = percent(mean(prompts, *d_r, "relative_error")?);
        panels.push(heat(format!("d_r = {d_r}, error {error}"), n, matrix.to_vec(), range));
    }
    let (most, last) = matrices[matrices.len() - 1];
    let gaps: Vec<f64> = last.iter().zip(exact).map(|(a, b)| a - b).collect();
    let widest = largest::at_least(largest::magnitude(gaps.iter().copied()), 1e-12);
    panels.push(heat(format!("d_r = {most} minus exact"), n, gaps, [-widest, widest]));
    let mut z = prompts.floats("z_median")?;
    z.sort_by(f64::total_cmp);
    let quantile = |share: f64| z[(share * (z.len() - 1) as f64).round() as usize];
    let predicted: Vec<String> = matrices[1..]
        .iter()
        .map(|(d_r, _)| Ok(percent(mean(prompts, *d_r, "predicted")?)))
        .collect::<anyhow::Result<_>>()?;
    let caption = format!(
        "Attention weights of every query (rows) towards every key (columns) of one held-out prompt in \
         the trained plain layer: exact softmax, and positive random features of one draw; one colour scale, and the last \
         matrix's error on its own. The last token is the query of the prompt. Errors in the titles: root mean square over \
         {draws} draws relative to the matrix, mean over {count} prompts. In this layer z = |q + k|² has a median of {middle:.1} \
         (5 to 95 % of prompts: {low:.1} to {high:.1}); first order predicts {predicted}; above 100 % no rate \
         1/sqrt(d_r) is to be expected.",
        draws = settings.draws,
        count = settings.prompts,
        middle = quantile(0.5),
        low = quantile(0.05),
        high = quantile(0.95),
        predicted = predicted.join(", "),
    );
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 3,
        shares: vec![],
        panel_height: 148.0,
        panels,
        caption,
    })
}
