//! Inputs stretched along a random basis, and queries orthogonal to inputs.

use super::function_class::normals;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Draws;

/// `U diag(e) U^T` with a uniformly random orthonormal basis `U` and `|e|^2 = d`.
pub(super) struct Stretch {
    basis: Vec<Vec<f64>>,
    factors: Vec<f64>,
}

impl Stretch {
    /// The basis is drawn; the factors are the spectrum's, at a mean square of one.
    pub(super) fn draw(spectrum: &[f64], draws: &mut Draws<'_>) -> Self {
        let d = spectrum.len();
        let rows: Vec<Vec<f64>> = (0..d).map(|_| normals(draws, d)).collect();
        let norm = (d as f64 / order::sum_of_squares(spectrum)).sqrt();
        Self { basis: orthonormal(&rows), factors: spectrum.iter().map(|e| norm * e).collect() }
    }

    /// Stretches `x`.
    pub(super) fn apply(&self, x: &mut Vec<f64>) {
        let mut stretched = vec![0.0; x.len()];
        for (u, factor) in self.basis.iter().zip(&self.factors) {
            let along = factor * order::dot(u, x);
            stretched.iter_mut().zip(u).for_each(|(s, u)| *s += along * u);
        }
        *x = stretched;
    }
}

/// An orthonormal basis of the span of `x`, by Gram-Schmidt.
pub(super) fn orthonormal(x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for point in x {
        let rest = remove(point, &basis);
        let norm = order::sum_of_squares(&rest).sqrt();
        if norm > 1e-9 {
            basis.push(rest.into_iter().map(|r| r / norm).collect());
        }
    }
    basis
}

/// The part of `v` that is orthogonal to an orthonormal basis; twice, against rounding.
pub(super) fn remove(v: &[f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let mut rest = v.to_vec();
    for e in basis.iter().chain(basis) {
        let along = order::dot(e, &rest);
        rest.iter_mut().zip(e).for_each(|(r, e)| *r -= along * e);
    }
    rest
}

/// The part of `query` that is orthogonal to `x` (fewer than `d` inputs), at the query's own length.
pub(super) fn orthogonal(query: &[f64], x: &[Vec<f64>]) -> Vec<f64> {
    let rest = remove(query, &orthonormal(x));
    let scale = order::sum_of_squares(query).sqrt()
        / largest::at_least(order::sum_of_squares(&rest).sqrt(), 1e-12);
    rest.into_iter().map(|r| scale * r).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::stream::Stream;

    #[test]
    fn a_stretch_of_equal_factors_changes_nothing_and_of_others_has_their_lengths() {
        let stream = Stream::new(6, "test/stretch");
        let mut draws = stream.sample(0);
        let x = normals(&mut draws, 5);
        let mut same = x.clone();
        Stretch::draw(&[0.7; 5], &mut draws).apply(&mut same);
        assert!(largest::difference(&same, &x) < 1e-14);
        let stretch = Stretch::draw(&[3.0, 4.0], &mut draws);
        let mut along = stretch.basis[1].clone();
        stretch.apply(&mut along);
        let want: Vec<f64> = stretch.basis[1].iter().map(|u| 4.0 * u * 0.08_f64.sqrt()).collect();
        assert!(largest::difference(&along, &want) < 1e-15);
    }
}
