//! The two attentions whose estimates are measured: random keys and queries, and those of a trained layer.

use super::Settings;
use crate::cells::BaseLayer;
use crate::views::base_layer;
use artifact::cell;
use dual_model::Matrix;
use dual_model::feature_error::Row;
use dual_model::feature_map::{self, squared_sum};
use dual_model::head::Head;
use icl_model::device::Device;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;

/// Random keys and queries with `|q + k|^2 <= largest_z`.
pub(super) const SYNTHETIC: &str = "synthetic";
/// All tokens of one held-out prompt in the trained layer.
pub(super) const TRAINED: &str = "trained layer";

/// Keys, queries and values, every token both.
pub(super) struct Data {
    head: Head,
}

impl Data {
    /// Random ones: normal vectors, scaled so that the largest `|q + k|^2` is the one allowed.
    pub(super) fn synthetic(settings: &Settings) -> anyhow::Result<Self> {
        let rows = |purpose: &str, d: usize| {
            let stream = Stream::new(0, &format!("feature-error/{purpose}"));
            feature_map::gaussian_rows(&stream, settings.n_tokens, d)
        };
        let matrix = |rows: &[Vec<f64>]| Matrix::from_rows(rows.iter().map(Vec::as_slice));
        let (mut keys, mut queries) = (rows("k", settings.d), rows("q", settings.d));
        let z = queries.iter().flat_map(|q| keys.iter().map(|k| squared_sum(q, k)));
        let scale = (settings.largest_z / largest::value(z)).sqrt();
        keys.iter_mut().chain(&mut queries).flatten().for_each(|x| *x *= scale);
        let (keys, queries) = (matrix(&keys)?, matrix(&queries)?);
        Ok(Self { head: Head { keys, queries, values: matrix(&rows("v", 1))? } })
    }

    /// Those of the trained layer.
    pub(super) fn trained(
        context: &cell::Context<'_>,
        settings: &Settings,
        device: Device,
    ) -> anyhow::Result<Self> {
        let layer = BaseLayer::trained(context, settings.train(), device)?;
        Ok(Self { head: layer.head(settings.prompt)? })
    }

    /// Size of a key.
    pub(super) fn d(&self) -> usize {
        self.head.keys.columns()
    }

    /// Keys.
    pub(super) fn keys(&self) -> Vec<&[f64]> {
        self.head.keys.iter_rows().collect()
    }

    /// Attention of every query.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        (0..self.head.n_tokens()).map(|i| base_layer::row(&self.head, i)).collect()
    }

    /// `|q + k|^2` of every pair, query by query.
    pub(super) fn z(&self) -> Vec<f64> {
        let of = |row: Row<'_>| -> Vec<f64> {
            row.keys.iter().map(|k| squared_sum(row.query, k)).collect()
        };
        self.rows().into_iter().flat_map(of).collect()
    }

    /// Their mean.
    pub(super) fn mean_z(&self) -> f64 {
        order::mean(&self.z()).unwrap_or(1.0)
    }
}
