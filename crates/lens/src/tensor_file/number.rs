//! Numbers of every dtype, widened to `f64`.

use safetensors::tensor::Dtype;

/// Appends the numbers of a piece of whole entries; `false` for a dtype that has no whole bytes.
pub(super) fn widen(dtype: Dtype, piece: &[u8], values: &mut Vec<f64>) -> bool {
    /// Numbers of `N` bytes each.
    fn each<const N: usize>(piece: &[u8], values: &mut Vec<f64>, number: impl Fn([u8; N]) -> f64) {
        values.extend(piece.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)));
    }
    match dtype {
        Dtype::F64 => each(piece, values, f64::from_le_bytes),
        Dtype::F32 => each(piece, values, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::BF16 => each(piece, values, |b| from_bf16(u16::from_le_bytes(b))),
        Dtype::F16 => each(piece, values, |b| from_f16(u16::from_le_bytes(b))),
        Dtype::BOOL | Dtype::U8 => each(piece, values, |b| f64::from(u8::from_le_bytes(b))),
        Dtype::I8 => each(piece, values, |b| f64::from(i8::from_le_bytes(b))),
        Dtype::U16 => each(piece, values, |b| f64::from(u16::from_le_bytes(b))),
        Dtype::I16 => each(piece, values, |b| f64::from(i16::from_le_bytes(b))),
        Dtype::U32 => each(piece, values, |b| f64::from(u32::from_le_bytes(b))),
        Dtype::I32 => each(piece, values, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::U64 => each(piece, values, |b| u64::from_le_bytes(b) as f64),
        Dtype::I64 => each(piece, values, |b| i64::from_le_bytes(b) as f64),
        _ => return false,
    }
    true
}

/// bfloat16: the upper half of an `f32`.
fn from_bf16(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

/// IEEE half precision: sign, five bits of exponent, ten of fraction.
fn from_f16(bits: u16) -> f64 {
    let (exponent, fraction) = (u64::from(bits >> 10) & 31, f64::from(bits & 1023));
    // 2^{e - 25}, by its own exponent field
    let power = |e: u64| f64::from_bits((e + 1023 - 25) << 52);
    let magnitude = match exponent {
        0 => fraction * power(1),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1024.0 + fraction) * power(e),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precisions_are_widened_exactly() {
        for (bits, want) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x03ff, 6.097_555_160_522_461e-5),
            (0x0400, 6.103_515_625e-5),
            (0x7c00, f64::INFINITY),
        ] {
            assert_eq!(from_f16(bits), want, "{bits:04x}");
        }
        assert!(from_f16(0x7e00).is_nan());
        assert_eq!(from_bf16(0x3f80), 1.0);
        assert_eq!(from_bf16(0xc0a0), -5.0);
    }
}
