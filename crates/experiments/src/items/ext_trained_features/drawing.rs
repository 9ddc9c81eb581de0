//! The figure: z along the training, errors at its start and end, and the features needed.

use super::claims::{of, select};
use super::layer::Variant;
use super::measure::maps;
use super::{ITEM, Settings};
use artifact::figure::{Axis, Figure, HeatPanel, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use dual_model::feature_map::Estimate;
use icl_numerics::{largest, order};

/// Largest predicted relative error that is drawn: beyond, first order says only that it does not apply.
const LARGEST_PREDICTION: f64 = 3.0;

pub(super) fn figure(
    settings: &Settings,
    z: &Table,
    measured: &Table,
    needed: &Table,
) -> anyhow::Result<Figure> {
    let panels = vec![
        along(settings, z)?,
        errors(settings, measured, 0, "error of the weights, before training")?,
        table(needed)?,
        errors(settings, measured, settings.steps, "error of the weights, trained")?,
    ];
    let caption = format!(
        "Random features in the plain base layer, the query's row of attention on {prompts} held-out prompts, \
         {seeds} seeds. Top left: z = |q + k|² along the training, medians and 5 to 95 % of all pairs (means over seeds), as \
         trained, and for the other keys and queries with the same scores. Right: root mean square error of the query's weights \
         relative to them in the median prompt ({draws} draws; band: standard deviation over seeds), and by first order (lines, \
         where it predicts less than {most}). Bottom left: log10 of the features that a relative error of {error} would need in the median prompt, by \
         first order; for Taylor features monomials up to the order that suffices.",
        prompts = settings.prompts,
        seeds = settings.seeds,
        draws = settings.draws,
        most = LARGEST_PREDICTION,
        error = settings.error,
    );
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 140.0,
        panels,
        caption,
    })
}

fn mean(sample: &[f64]) -> f64 {
    order::mean(sample).unwrap_or(f64::NAN)
}

fn along(settings: &Settings, z: &Table) -> anyhow::Result<Panel> {
    let x: Vec<f64> = settings.checkpoints.iter().map(|step| *step as f64).collect();
    let column = |variant: Variant, name: &str| -> anyhow::Result<Vec<f64>> {
        let at = |step: &usize| {
            select(z, &[("variant", variant.name()), ("step", &step.to_string())], name)
        };
        settings.checkpoints.iter().map(|step| Ok(mean(&at(step)?))).collect()
    };
    let mut series = Vec::new();
    for variant in Variant::ALL {
        let line = Series::line(
            variant.name(),
            Style::of(variant.name())?,
            x.clone(),
            column(variant, "z_50")?,
        );
        series.push(match variant {
            Variant::AsTrained => {
                line.with_band(column(variant, "z_05")?, column(variant, "z_95")?)
            }
            _ => line,
        });
    }
    Ok(Panel::Lines(LinePanel {
        title: "z along the training".into(),
        x: Axis::linear("step"),
        y: Axis::linear("z = |q + k|²"),
        series,
    }))
}

fn errors(
    settings: &Settings,
    measured: &Table,
    step: usize,
    title: &str,
) -> anyhow::Result<Panel> {
    let x: Vec<f64> = settings.features.iter().map(|d_r| *d_r as f64).collect();
    let mut series = Vec::new();
    for map in maps() {
        let at = |column: &str| -> anyhow::Result<Vec<Vec<f64>>> {
            let of = |d_r: &usize| {
                let (step, d_r) = (step.to_string(), d_r.to_string());
                let plain = Variant::AsTrained.name();
                let of = [("variant", plain), ("map", map.id), ("step", &step), ("d_r", &d_r)];
                select(measured, &of, column)
            };
            settings.features.iter().map(of).collect()
        };
        let (sizes, predictions) = (at("median")?, at("median_predicted")?);
        let means: Vec<f64> = sizes.iter().map(|sample| mean(sample)).collect();
        let end = |sign: f64| -> Vec<f64> {
            let sd = |sample: &[f64]| order::variance(sample).unwrap_or(0.0).sqrt();
            // a logarithmic axis has no place for the lower end of a wide band
            let of =
                |(m, sample): (&f64, &Vec<f64>)| largest::at_least(m + sign * sd(sample), m / 10.0);
            means.iter().zip(&sizes).map(of).collect()
        };
        let (low, high) = (end(-1.0), end(1.0));
        let style = Style::of(map.id)?.solid();
        series.push(Series::points(map.id, style, x.clone(), means).with_band(low, high));
        if map.estimate == Estimate::Unbiased {
            let predicted: Vec<f64> = predictions.iter().map(|sample| mean(sample)).collect();
            let shown: Vec<usize> =
                (0..x.len()).filter(|j| predicted[*j] < LARGEST_PREDICTION).collect();
            if !shown.is_empty() {
                let pick = |of: &[f64]| shown.iter().map(|j| of[*j]).collect::<Vec<f64>>();
                let theory = Style::of(map.id)?.unmarked();
                series.push(Series::line("", theory, pick(&x), pick(&predicted)));
            }
        }
    }
    Ok(Panel::Lines(LinePanel {
        title: title.into(),
        x: Axis::log("features d_r"),
        y: Axis::log("relative error"),
        series,
    }))
}

/// Needed features of every map and variant.
fn table(needed: &Table) -> anyhow::Result<Panel> {
    let mut entries = Vec::new();
    for map in maps() {
        for variant in Variant::ALL {
            entries.push(mean(&of(needed, map.id, variant)?));
        }
    }
    let range = [0.0, largest::value(entries.iter().copied())];
    let rows = maps().map(|map| map.id.to_owned()).collect();
    let columns = Variant::ALL.map(|variant| variant.name().to_owned()).to_vec();
    Ok(Panel::Heat(HeatPanel {
        title: "log10 of the features needed".into(),
        x_label: String::new(),
        y_label: String::new(),
        columns: Variant::ALL.len(),
        entries,
        range,
        names: [rows, columns],
    }))
}
