//! The two precisions in which both sides are computed.

use crate::named::named;
use candle_core::DType;

named! {
    /// Precision of numbers.
    pub(crate) enum Precision {
        /// Double.
        F64 = "f64",
        /// Single.
        F32 = "f32",
    }
}

impl Precision {
    /// candle's name of it.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F64 => DType::F64,
            Self::F32 => DType::F32,
        }
    }
}
