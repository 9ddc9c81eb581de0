//! What every name looks like, in all figures.

use super::strokes::{DASHED, DOTTED, MIXED, Marker, Rgb, SOLID};

/// The hues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hue {
    Navy,
    Brick,
    Blue,
    Ochre,
    Grey,
}

impl Hue {
    pub(super) const ALL: [Self; 5] =
        [Self::Navy, Self::Brick, Self::Blue, Self::Ochre, Self::Grey];

    pub(super) fn rgb(self) -> Rgb {
        match self {
            Self::Navy => [18, 53, 91],
            Self::Brick => [166, 61, 47],
            Self::Blue => [58, 134, 200],
            Self::Ochre => [224, 160, 48],
            Self::Grey => [138, 138, 138],
        }
    }
}

/// Every name that has a style, in all figures.
pub(super) const NAMES: [(&str, Hue, &[f64], Marker); 52] = {
    use Hue::{Blue, Brick, Grey, Navy, Ochre};
    use Marker::{
        Circle, Diamond, InvertedTriangle, OpenDiamond, OpenInvertedTriangle, OpenSquare,
        OpenTriangle, Ring, Square, Triangle,
    };
    [
        ("plain", Grey, SOLID, Circle),
        ("regularised", Navy, SOLID, Circle),
        ("augmented", Blue, SOLID, Square),
        ("negative", Brick, SOLID, Triangle),
        ("combined", Ochre, SOLID, Diamond),
        ("exact dual", Navy, SOLID, Circle),
        ("feature dual", Brick, SOLID, Square),
        ("to feature attention", Ochre, SOLID, Diamond),
        ("f64 none", Navy, SOLID, Circle),
        ("f64 causal", Navy, DASHED, Square),
        ("f64 padding", Navy, DOTTED, Triangle),
        ("f64 prefix-lm", Navy, MIXED, Diamond),
        ("f32 none", Brick, SOLID, Ring),
        ("f32 causal", Brick, DASHED, OpenSquare),
        ("f32 padding", Brick, DOTTED, OpenTriangle),
        ("f32 prefix-lm", Brick, MIXED, OpenDiamond),
        ("linear attention", Navy, SOLID, Circle),
        ("1 softmax head", Blue, SOLID, Square),
        ("2 softmax heads", Brick, SOLID, Triangle),
        ("4 softmax heads", Ochre, SOLID, Diamond),
        ("floor of 1 head", Blue, SOLID, OpenSquare),
        ("floor of 2 heads", Brick, SOLID, OpenTriangle),
        ("zero", Grey, DOTTED, Circle),
        ("averaging", Grey, SOLID, OpenInvertedTriangle),
        ("GD, 1 step", Navy, DASHED, Ring),
        ("GD, 5 steps", Navy, DOTTED, OpenSquare),
        ("GD++, 5 steps", Navy, MIXED, OpenDiamond),
        ("nearest neighbours", Ochre, DASHED, Diamond),
        ("3 nearest", Ochre, DASHED, OpenDiamond),
        ("Nadaraya-Watson", Ochre, DOTTED, InvertedTriangle),
        ("kernel ridge", Brick, MIXED, OpenInvertedTriangle),
        ("ridge", Blue, DASHED, OpenDiamond),
        ("least squares", Brick, DOTTED, InvertedTriangle),
        ("gradient descent", Brick, DASHED, Square),
        ("preconditioned descent", Blue, MIXED, OpenSquare),
        ("Transformer", Navy, SOLID, Triangle),
        ("positive", Navy, SOLID, Circle),
        ("orthogonal", Blue, SOLID, Square),
        ("hyperbolic", Ochre, SOLID, Diamond),
        ("favor++", Brick, SOLID, Triangle),
        ("trigonometric", Grey, SOLID, InvertedTriangle),
        ("taylor", Grey, DASHED, OpenSquare),
        ("opposed", Navy, SOLID, Circle),
        ("aligned", Brick, SOLID, Triangle),
        ("unequal", Blue, SOLID, Square),
        ("saddle", Grey, SOLID, Diamond),
        ("free starts", Ochre, SOLID, OpenDiamond),
        ("as trained", Grey, SOLID, Circle),
        ("centred", Blue, SOLID, Square),
        ("balanced", Navy, SOLID, Triangle),
        ("balanced, centred", Brick, SOLID, Diamond),
        ("bound", Brick, DASHED, Square),
    ]
};
