//! What colours look like to eyes that lack a kind of cone: for tests of the palette.
//!
//! Matrices in linear RGB: G. Machado, M. Oliveira, L. Fernandes (2009), severity 1. Distances: CIELAB of 1976.

use crate::figure::strokes::Rgb;

/// A way of seeing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sight {
    Full,
    Protanopia,
    Deuteranopia,
    Tritanopia,
}

impl Sight {
    pub(super) const ALL: [Self; 4] =
        [Self::Full, Self::Protanopia, Self::Deuteranopia, Self::Tritanopia];

    fn matrix(self) -> [[f64; 3]; 3] {
        match self {
            Self::Full => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            Self::Protanopia => [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
            Self::Deuteranopia => [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
            Self::Tritanopia => [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        }
    }
}

fn linear(colour: Rgb) -> [f64; 3] {
    colour.map(|c| {
        let c = f64::from(c) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { icl_numerics::math::powf((c + 0.055) / 1.055, 2.4) }
    })
}

fn lab(linear: [f64; 3]) -> [f64; 3] {
    let rows = [
        [0.412_456, 0.357_576, 0.180_438],
        [0.212_673, 0.715_152, 0.072_175],
        [0.019_334, 0.119_192, 0.950_304],
    ];
    // relative to the white point of daylight
    let white = [0.950_47, 1.0, 1.088_83];
    let f = |t: f64| {
        if t > 0.008_856 {
            icl_numerics::math::powf(t, 1.0 / 3.0)
        } else {
            7.787 * t + 16.0 / 116.0
        }
    };
    let [x, y, z] = [0, 1, 2].map(|i| {
        let sum: f64 = rows[i].iter().zip(linear).map(|(a, b)| a * b).sum();
        f(sum / white[i])
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

fn seen(colour: Rgb, sight: Sight) -> [f64; 3] {
    let colour = linear(colour);
    let seen = sight.matrix().map(|row| {
        let sum: f64 = row.iter().zip(colour).map(|(a, b)| a * b).sum();
        sum.clamp(0.0, 1.0)
    });
    lab(seen)
}

/// Distance of two colours as they are seen.
pub(super) fn distance(a: Rgb, b: Rgb, sight: Sight) -> f64 {
    let (a, b) = (seen(a, sight), seen(b, sight));
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

/// `L*`, 0 to 100: what is left in grey.
pub(super) fn lightness(colour: Rgb) -> f64 {
    lab(linear(colour))[0]
}
