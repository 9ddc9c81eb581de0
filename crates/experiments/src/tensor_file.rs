//! A user's safetensors files: the header first, then only the tensors that are asked for.
//!
//! Nothing is believed: the length of the header, sizes, offsets and shapes are checked before anything is
//! allocated, and every fault names the file, the tensor, what was found and what was expected.

use anyhow::anyhow;
use artifact::output;
use safetensors::tensor::{Dtype, TensorInfo, TensorView};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Bytes of the tensors read from one file, as `f64`, and of a file that cannot be read in parts.
pub(crate) const BUDGET: u64 = 4 << 30;
/// Bytes of a header.
const MAX_HEADER: u64 = 16 << 20;
/// The longest axis of a tensor that is read.
const MAX_AXIS: usize = 1 << 24;
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// A tensor, widened to `f64`.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// Where the bytes are.
#[derive(Debug)]
enum Source {
    /// Read in parts.
    File(File),
    /// A pipe, or bytes from elsewhere.
    Bytes(Vec<u8>),
}

/// The tensors of a file.
#[derive(Debug)]
pub(crate) struct TensorFile {
    name: String,
    source: Source,
    /// First byte after the header.
    start: u64,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
    /// Bytes that may still be allocated.
    left: Cell<u64>,
}

impl TensorFile {
    /// Opens a file and reads its header.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let failed = |error: std::io::Error| {
            anyhow!("{name}: cannot read: {error}; check the path and its permissions")
        };
        let file = File::open(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?;
        if kind.is_file() {
            return Self::parse(name, Source::File(file), kind.len(), BUDGET);
        }
        let mut bytes = Vec::new();
        file.take(BUDGET + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::from_bytes(&name, bytes, BUDGET)
    }

    /// The file whose content is `bytes`; tensors of at most `budget` bytes are read from it.
    pub(crate) fn from_bytes(name: &str, bytes: Vec<u8>, budget: u64) -> anyhow::Result<Self> {
        let length = bytes.len() as u64;
        if length > budget {
            return Err(anyhow!(
                "{name}: found more than {budget} bytes, expected at most so many; save fewer tensors"
            ));
        }
        Self::parse(name.to_owned(), Source::Bytes(bytes), length, budget)
    }

    fn parse(name: String, source: Source, length: u64, budget: u64) -> anyhow::Result<Self> {
        let (tensors, metadata) = (BTreeMap::new(), BTreeMap::new());
        let mut file = Self { name, source, start: 0, tensors, metadata, left: Cell::new(budget) };
        let damaged = |found: String, expected: &str| {
            let name = &file.name;
            anyhow!("{name}: header: found {found}, expected {expected}; write the file again")
        };
        if length < 8 {
            return Err(damaged(format!("{length} bytes"), "a safetensors file"));
        }
        let mut size = [0; 8];
        file.bytes(0, &mut size)?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEADER.min(length - 8) {
            let expected = format!(
                "a safetensors file, whose header has at most {MAX_HEADER} bytes and lies in the file of \
                 {length} bytes"
            );
            return Err(damaged(format!("a header of {size} bytes"), &expected));
        }
        let mut header = vec![0; size as usize];
        file.bytes(8, &mut header)?;
        let entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header)
            .map_err(|error| damaged(error.to_string(), "the JSON of a safetensors file"))?;
        for (key, value) in entries {
            let refused = |error: serde_json::Error| {
                damaged(format!("`{key}`: {error}"), "dtype, shape and data_offsets of a tensor")
            };
            if key == "__metadata__" {
                file.metadata = serde_json::from_value(value).map_err(refused)?;
            } else {
                let info = serde_json::from_value(value).map_err(refused)?;
                file.tensors.insert(key, info);
            }
        }
        file.start = 8 + size;
        file.check(length - file.start)?;
        Ok(file)
    }

    /// Checks that the tensors lie in the `length` bytes of data, have the size of their shape and do
    /// not overlap.
    fn check(&self, length: u64) -> anyhow::Result<()> {
        let mut ranges = Vec::with_capacity(self.tensors.len());
        for (name, info) in &self.tensors {
            let (begin, end) = info.data_offsets;
            if begin > end || end as u64 > length {
                let expected = format!("a range within the {length} bytes of data");
                return Err(self.refuse(name, format!("bytes {begin}..{end}"), expected, AGAIN));
            }
            let bits = count(&info.shape).and_then(|n| n.checked_mul(info.dtype.bitsize()));
            if bits != (end - begin).checked_mul(8) {
                let found = format!("{:?} {:?} in {} bytes", info.dtype, info.shape, end - begin);
                return Err(self.refuse(name, found, "as many bytes as the shape asks for", AGAIN));
            }
            ranges.push((begin, end, name));
        }
        ranges.sort_unstable();
        let overlap = ranges.windows(2).find(|pair| pair[1].0 < pair[0].1);
        overlap.map_or(Ok(()), |pair| {
            let found = format!("bytes shared with `{}`", pair[0].2);
            Err(self.refuse(pair[1].2, found, "bytes of its own", AGAIN))
        })
    }

    /// Fills `buffer` from byte `at` of the file.
    fn bytes(&self, at: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        let read = match &self.source {
            Source::File(file) => {
                let mut file = file;
                file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(buffer))
            }
            Source::Bytes(bytes) => {
                let part = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
                part.unwrap_or_default().read_exact_into(buffer)
            }
        };
        read.map_err(|error| {
            anyhow!("{}: cannot read {} bytes at {at}: {error}", self.name, buffer.len())
        })
    }

    /// Names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor, if there is one of that name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// An entry of the metadata.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// A tensor of finite floating-point numbers, of any shape.
    pub(crate) fn array(&self, name: &str, expected: &str) -> anyhow::Result<Array> {
        let info = self.info(name, expected)?;
        let known = [Dtype::F64, Dtype::F32, Dtype::BF16, Dtype::F16];
        if !known.contains(&info.dtype) {
            let found = format!("dtype {:?}", info.dtype);
            return Err(self.refuse(name, found, "f64, f32, bf16 or f16", "convert it"));
        }
        let array = self.numbers(name, expected)?;
        match array.values.iter().position(|x| !x.is_finite()) {
            Some(i) => {
                let found = format!("{} at entry {i}", array.values[i]);
                Err(self.refuse(name, found, "finite numbers", "correct it"))
            }
            None => Ok(array),
        }
    }

    /// A tensor of any dtype of whole bytes (truth values are 0 and 1) and of any shape.
    pub(crate) fn numbers(&self, name: &str, expected: &str) -> anyhow::Result<Array> {
        let info = self.info(name, expected)?;
        if info.shape.iter().any(|axis| *axis == 0 || *axis > MAX_AXIS) {
            let range = format!("axes of length 1 to {MAX_AXIS}");
            return Err(self.refuse(name, format!("shape {:?}", info.shape), range, "cut it"));
        }
        let not_whole = || {
            let found = format!("dtype {:?}", info.dtype);
            self.refuse(name, found, "numbers of whole bytes", "convert it")
        };
        if !info.dtype.bitsize().is_multiple_of(8) {
            return Err(not_whole());
        }
        let size = info.dtype.bitsize() / 8;
        let n = count(&info.shape).unwrap_or(usize::MAX);
        let Some(left) = self.left.get().checked_sub((n as u64).saturating_mul(8)) else {
            let found = format!("shape {:?}", info.shape);
            let expected = format!("at most {BUDGET} bytes as f64 in all tensors read together");
            return Err(self.refuse(name, found, expected, "cut it"));
        };
        self.left.set(left);
        let mut values = Vec::with_capacity(n);
        let mut piece = vec![0; PIECE.min(n * size)];
        let (begin, end) = info.data_offsets;
        for at in (begin..end).step_by(PIECE) {
            let piece = &mut piece[..PIECE.min(end - at)];
            self.bytes(self.start + at as u64, piece)?;
            if !widen(info.dtype, piece, &mut values) {
                return Err(not_whole());
            }
        }
        Ok(Array { shape: info.shape.clone(), values })
    }

    fn info(&self, name: &str, expected: &str) -> anyhow::Result<&TensorInfo> {
        self.tensors.get(name).ok_or_else(|| {
            let found = format!("none (the file has: {})", some(self.names()));
            self.refuse(name, found, format!("one of shape {expected}"), "add it")
        })
    }

    /// What is wrong with a tensor.
    pub(crate) fn refuse(
        &self,
        name: &str,
        found: impl Display,
        expected: impl Display,
        next: &str,
    ) -> anyhow::Error {
        anyhow!("{}: tensor `{name}`: found {found}, expected {expected}; {next}", self.name)
    }

    /// What is wrong with the file.
    pub(crate) fn fault(
        &self,
        found: impl Display,
        expected: impl Display,
        next: &str,
    ) -> anyhow::Error {
        anyhow!("{}: found {found}, expected {expected}; {next}", self.name)
    }
}

const AGAIN: &str = "write the file again";

/// The first names, and how many more there are.
pub(crate) fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "nothing".to_owned(),
        1..=8 => shown,
        n => format!("{shown} and {} more", n - 8),
    }
}

/// Number of entries.
fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis))
}

/// `read_exact` on a slice.
trait ReadExactInto {
    fn read_exact_into(self, buffer: &mut [u8]) -> std::io::Result<()>;
}

impl ReadExactInto for &[u8] {
    fn read_exact_into(mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        self.read_exact(buffer)
    }
}

/// Appends the numbers of a piece of whole entries; `false` for a dtype that has no whole bytes.
fn widen(dtype: Dtype, piece: &[u8], values: &mut Vec<f64>) -> bool {
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

/// Writes tensors as `f64`, or rounded to `f32`.
pub(crate) fn write_tensors(
    path: &Path,
    arrays: &[(&str, Vec<usize>, &[f64])],
    double: bool,
) -> anyhow::Result<()> {
    let bytes = |values: &[f64]| -> Vec<u8> {
        if double {
            values.iter().flat_map(|x| x.to_le_bytes()).collect()
        } else {
            values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect()
        }
    };
    let data: Vec<Vec<u8>> = arrays.iter().map(|(_, _, values)| bytes(values)).collect();
    let dtype = if double { Dtype::F64 } else { Dtype::F32 };
    let views = arrays
        .iter()
        .zip(&data)
        .map(|((name, shape, _), data)| Ok((*name, TensorView::new(dtype, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(output::write_atomically(path, &safetensors::serialize(views, None)?)?)
}

/// Parses a header and reads every tensor within 64 MiB; for fuzzing.
pub fn fuzz_header(bytes: &[u8]) {
    if let Ok(file) = TensorFile::from_bytes("fuzz", bytes.to_vec(), 64 << 20) {
        for name in file.names() {
            let _ = file.numbers(name, "any");
            let _ = file.array(name, "any");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> anyhow::Result<TensorFile> {
        let size = (header.len() as u64).to_le_bytes();
        let bytes = [&size[..], header.as_bytes(), data].concat();
        TensorFile::from_bytes("t", bytes, BUDGET)
    }

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

    #[test]
    fn numbers_of_every_dtype_are_read() {
        let header = r#"{"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]},
            "b":{"dtype":"BOOL","shape":[1,2],"data_offsets":[4,6]},
            "c":{"dtype":"BF16","shape":[1],"data_offsets":[6,8]}}"#;
        let file = file(header, &[1, 0, 255, 255, 0, 1, 0x80, 0x3f]).unwrap();
        assert_eq!(file.numbers("a", "").unwrap().values, [1.0, -1.0]);
        assert_eq!(file.numbers("b", "").unwrap().values, [0.0, 1.0]);
        assert_eq!(file.array("c", "").unwrap().values, [1.0]);
        let error = file.array("a", "").unwrap_err().to_string();
        assert!(error.contains("I16") && error.contains("bf16"), "{error}");
    }

    #[test]
    fn damage_is_refused_and_named() {
        let tensor = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        for (header, part) in [
            ("{".to_owned(), "JSON"),
            (tensor("F99", "[1]", "[0,4]"), "F99"),
            (tensor("F32", "[1]", "[4,0]"), "4..0"),
            (tensor("F32", "[3]", "[0,12]"), "0..12"),
            (tensor("F32", "[1]", "[0,8]"), "8 bytes"),
            (tensor("F32", "[4294967296,4294967296,4294967296]", "[0,8]"), "8 bytes"),
            (
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                    "b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#
                    .to_owned(),
                "shared with `a`",
            ),
        ] {
            let error = file(&header, &[0; 8]).unwrap_err().to_string();
            assert!(error.starts_with("t: ") && error.contains(part), "{part}: {error}");
        }
        for bytes in [vec![], vec![1; 7], vec![255; 9], (1_u64 << 60).to_le_bytes().to_vec()] {
            assert!(TensorFile::from_bytes("t", bytes, BUDGET).is_err());
        }
        let empty = file(&tensor("F32", "[0,3]", "[0,0]"), &[]).unwrap();
        assert!(empty.array("w", "").unwrap_err().to_string().contains("[0, 3]"));
    }
}
