//! The figure.

use super::ITEM;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};

pub(super) fn figure(curves: &[Vec<f64>]) -> Figure {
    let series = |(i, curve): (usize, &Vec<f64>)| {
        let epochs = (0..curve.len()).map(|epoch| epoch as f64).collect();
        Series::line(&format!("seed {i}"), Style::shade(i, curves.len()), epochs, curve.clone())
    };
    let panel = LinePanel {
        title: "the dual's loss over epochs".into(),
        x: Axis::linear("epoch"),
        y: Axis::linear("L(W)"),
        series: curves.iter().take(4).enumerate().map(series).collect(),
    };
    Figure {
        id: ITEM.id.into(),
        columns: 1,
        shares: vec![],
        panel_height: 138.0,
        panels: vec![Panel::Lines(panel)],
        caption: "Loss of the feature dual before training and after every epoch, for up to \
                  four random prompts: a straight line that falls without end. One epoch is all that attention \
                  does. The checks of gradients are in checks.csv."
            .into(),
    }
}
