//! The claims.

use super::constants::Family;
use super::{ITEM, Settings, tables};
use artifact::claim::{Claim, Place, Side, at_least, at_most, over_seeds, sampled};
use artifact::statistics::{Interval, extreme, interval};
use artifact::table::Table;
use icl_numerics::largest;

/// Depth and loss of the published run that three layers are held against: `E (error)^2` of .0009 to .0028.
const PUBLISHED: (usize, f64) = (3, 0.003);

fn place(claim: &str) -> Place<'_> {
    Place { item: ITEM.id, claim, table: "runs" }
}

/// What the claims read.
struct Data<'a> {
    settings: &'a Settings,
    runs: &'a Table,
    descent: &'a Table,
}

pub(super) fn claims(
    settings: &Settings,
    runs: &Table,
    descent: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let data = Data { settings, runs, descent };
    let mut claims = data.one_layer()?;
    claims.extend(data.published()?);
    claims.extend(data.against_descent()?);
    claims.extend(data.optima()?);
    claims.extend(data.unequal_inputs()?);
    Ok(claims.into_iter().map(|one| Claim { expected: settings.expected, ..one }).collect())
}

impl Data<'_> {
    /// The depths of inputs of unit variance.
    fn depths(&self) -> &[usize] {
        &self.settings.layers[0]
    }

    fn column(&self, scales: &[f64], depth: usize, name: &str) -> anyhow::Result<Vec<f64>> {
        tables::column(self.runs, scales, depth, name)
    }

    fn losses(&self, depth: usize) -> anyhow::Result<Vec<f64>> {
        self.column(&self.settings.scales[0], depth, "loss")
    }

    fn best(&self, scales: &[f64], family: Family, depth: usize) -> anyhow::Result<f64> {
        let all = tables::optima(self.descent, scales, family, depth)?;
        Ok(all.into_iter().next().unwrap_or(f64::NAN))
    }

    /// One layer is the best gradient step, in closed form.
    fn one_layer(&self) -> anyhow::Result<Vec<Claim>> {
        let (n, d) = (self.settings.n_demos as f64, self.settings.d() as f64);
        let scales = &self.settings.scales[0];
        let off = |name: &str, closed: f64| -> anyhow::Result<Interval> {
            let column = self.column(scales, 1, name)?;
            let ratios: Vec<f64> = column.iter().map(|x| x / closed).collect();
            Ok(interval::mean(&ratios)?.distance_from_one())
        };
        let step = "Step that one layer learns, against N/(N + d + 1): relative distance";
        let loss = "Loss of one layer, against d(d + 1)/(N + d + 1): relative distance";
        Ok(vec![
            over_seeds(
                place("step"),
                step,
                off("first_step", n / (n + d + 1.0))?,
                Side::AtMost,
                0.02,
            ),
            over_seeds(
                place("loss"),
                loss,
                off("loss", d * (d + 1.0) / (n + d + 1.0))?,
                Side::AtMost,
                0.02,
            ),
        ])
    }

    /// Three layers get as far as a published run: on average, and from every seed.
    fn published(&self) -> anyhow::Result<Vec<Claim>> {
        let (depth, bound) = PUBLISHED;
        if !self.depths().contains(&depth) {
            return Ok(Vec::new());
        }
        let losses = self.losses(depth)?;
        let errors = self.column(&self.settings.scales[0], depth, "loss_error")?;
        let mean = interval::mean(&losses)?;
        let runs: Vec<[f64; 2]> = losses.iter().zip(errors).map(|(x, e)| [*x, e]).collect();
        let (worst, ends) = extreme(&runs, 1.0);
        let worst = at_most(
            place("three-worst"),
            "Loss of three layers, from the worst seed",
            worst,
            bound,
        );
        Ok(vec![
            over_seeds(place("three"), "Loss of three layers", mean, Side::AtMost, bound),
            sampled(worst, ends),
        ])
    }

    /// No depth does worse than as many gradient steps, and from two layers on each does better than steps in whitened
    /// inputs, whatever their sizes.
    fn against_descent(&self) -> anyhow::Result<Vec<Claim>> {
        let scales = &self.settings.scales[0];
        let ratio = |family: Family, from: usize| -> anyhow::Result<Option<Interval>> {
            let depths: Vec<usize> =
                self.depths().iter().copied().filter(|depth| *depth >= from).collect();
            let mut all = Vec::new();
            for depth in &depths {
                let best = self.best(scales, family, *depth)?;
                let ratios: Vec<f64> = self.losses(*depth)?.iter().map(|x| x / best).collect();
                all.push(interval::mean_of_several(&ratios, depths.len())?);
            }
            Ok(outermost(&all))
        };
        let of_descent =
            "Loss of L layers over that of L gradient steps of the best size: largest over L";
        let of_preconditioned = "Loss of L >= 2 layers over that of L preconditioned steps of the best sizes: largest over L";
        let claim = |name, statement, family, from, bound| -> anyhow::Result<Option<Claim>> {
            let found = ratio(family, from)?;
            Ok(found.map(|found| over_seeds(place(name), statement, found, Side::AtMost, bound)))
        };
        let claims = [
            claim("descent", of_descent, Family::Descent, 1, 1.02)?,
            claim("preconditioned", of_preconditioned, Family::Preconditioned, 2, 0.9)?,
        ];
        Ok(claims.into_iter().flatten().collect())
    }

    /// The constants of GD++ bound what training reaches, and at two layers say where it ends: at one of their optima, from
    /// every seed.
    fn optima(&self) -> anyhow::Result<Vec<Claim>> {
        let scales = &self.settings.scales[0];
        let mut claims = Vec::new();
        let mut ratios = Vec::new();
        for depth in self.depths() {
            let best = self.best(scales, Family::PlusPlus, *depth)?;
            ratios.extend(self.losses(*depth)?.into_iter().map(|loss| loss / best));
        }
        let statement =
            "Loss of L layers over that of GD++ with the best constants: smallest over seeds and L";
        claims.push(at_least(place("constants"), statement, largest::least(ratios), 0.97));
        for depth in self.depths().iter().filter(|depth| **depth == 2) {
            let optima = tables::optima(self.descent, scales, Family::PlusPlus, *depth)?;
            let nearest = |loss: f64| {
                let away = optima.iter().map(|optimum| (loss / optimum - 1.0).abs());
                largest::least(away)
            };
            let worst = largest::value(self.losses(*depth)?.into_iter().map(nearest));
            let statement = "Loss of two layers against the nearest optimum of GD++'s constants: largest distance over seeds";
            claims.push(at_most(place("optima"), statement, worst, 0.03));
            let statement = "Optima of the constants of two steps of GD++";
            let place = Place { table: "descent", ..place("optima-count") };
            claims.push(at_least(place, statement, optima.len().min(2) as f64, 2.0).with_best(2.0));
        }
        Ok(claims)
    }

    /// Of inputs with unequal variances one layer learns the inverse covariance, so that depth costs what it costs in
    /// whitened inputs.
    fn unequal_inputs(&self) -> anyhow::Result<Vec<Claim>> {
        let Some(scales) = self.settings.scales.get(1) else { return Ok(Vec::new()) };
        let deviation = interval::mean(&self.column(scales, 1, "first_deviation")?)?;
        let unequal = self.column(scales, 1, "loss")?;
        let ratio = interval::ratio(&unequal, &self.losses(1)?)?.distance_from_one();
        let descent = self.best(scales, Family::Descent, 1)?;
        let gain: Vec<f64> = unequal.iter().map(|loss| descent / loss).collect();
        let gain = interval::mean(&gain)?;
        let map = "Unequal variances: distance of one layer's map from a multiple of the inverse covariance, relative";
        let loss = "Unequal variances: loss of one layer against that for unit variances, relative distance";
        let step =
            "Unequal variances: loss of one gradient step of the best size over that of one layer";
        Ok(vec![
            over_seeds(place("covariance"), map, deviation, Side::AtMost, 0.05),
            over_seeds(place("unequal"), loss, ratio, Side::AtMost, 0.02),
            over_seeds(place("preconditioner"), step, gain, Side::AtLeast, 1.2),
        ])
    }
}

/// The largest of several estimates over the same seeds, with an interval that ends at the outermost upper end.
fn outermost(all: &[Interval]) -> Option<Interval> {
    let top = largest::value(all.iter().map(|one| one.mean));
    let upper = largest::value(all.iter().map(|one| one.upper));
    all.iter().find(|one| one.mean == top).map(|one| Interval { upper, ..*one })
}
