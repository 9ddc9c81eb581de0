//! A user's safetensors files: the header first, then only the tensors that are asked for.
//!
//! Nothing is believed: the length of the header, sizes, offsets and shapes are checked before anything is
//! allocated, and every fault names the file, the tensor, what was found and what was expected.

mod header;
mod number;
mod write;

pub(crate) use write::serialized;

use crate::error::{LensError, Result};
use crate::options::Precision;
use header::count;
use number::widen;
use safetensors::tensor::{Dtype, TensorInfo};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Bytes of the tensors read from one file, as `f64`, and of a file that cannot be read in parts.
pub const BUDGET: u64 = 4 << 30;
/// The longest axis of a tensor that is read.
const MAX_AXIS: usize = 1 << 24;
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// A tensor, widened to `f64`.
#[derive(Debug, Clone)]
pub struct Array {
    /// Length of every axis.
    pub shape: Vec<usize>,
    /// Numbers, row by row.
    pub values: Vec<f64>,
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
pub struct TensorFile {
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
    ///
    /// # Errors
    /// [`LensError`] if it cannot be read or is no safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |cause: std::io::Error| LensError::Open { file: name.clone(), cause };
        let file = File::open(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?;
        if kind.is_file() {
            return Self::parse(name, Source::File(file), kind.len(), BUDGET);
        }
        let mut bytes = Vec::new();
        file.take(BUDGET + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::from_bytes(&name, bytes, BUDGET)
    }

    /// The file whose content is `bytes`; tensors of at most `budget` bytes, as `f64`, are read from it.
    ///
    /// # Errors
    /// [`LensError`] if there are more bytes or they are no safetensors file.
    pub fn from_bytes(name: &str, bytes: Vec<u8>, budget: u64) -> Result<Self> {
        let length = bytes.len() as u64;
        if length > budget {
            let found = format!("more than {budget} bytes");
            let next = "save fewer tensors";
            return Err(LensError::refused(name, found, "at most so many", next));
        }
        Self::parse(name.to_owned(), Source::Bytes(bytes), length, budget)
    }

    /// A file's content made of these tensors, each with its shape and its numbers row by row.
    ///
    /// # Errors
    /// [`LensError::Safetensors`] if a shape does not hold its numbers.
    pub fn from_arrays(name: &str, arrays: &[(&str, &[usize], &[f64])]) -> Result<Self> {
        let arrays: Vec<_> = arrays.iter().map(|(n, s, x)| (*n, s.to_vec(), *x)).collect();
        Self::from_bytes(name, serialized(&arrays, Precision::F64)?, BUDGET)
    }

    /// Fills `buffer` from byte `at` of the file.
    fn bytes(&self, at: u64, buffer: &mut [u8]) -> Result<()> {
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
        let (file, length) = (&self.name, buffer.len());
        read.map_err(|cause| LensError::Read { file: file.clone(), length, at, cause })
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
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

    /// A tensor of finite floating-point numbers, of any shape; `expected` names the shape in messages.
    ///
    /// # Errors
    /// [`LensError`] if it is missing, of another dtype, not finite or too large.
    pub fn array(&self, name: &str, expected: &str) -> Result<Array> {
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

    /// A tensor of any dtype of whole bytes (truth values are 0 and 1) and of any shape; see
    /// [`TensorFile::array`].
    ///
    /// # Errors
    /// [`LensError`] if it is missing, of another dtype or too large.
    pub fn numbers(&self, name: &str, expected: &str) -> Result<Array> {
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

    fn info(&self, name: &str, expected: &str) -> Result<&TensorInfo> {
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
    ) -> LensError {
        let place = format!("{}: tensor `{name}`", self.name);
        LensError::refused(place, found.to_string(), expected.to_string(), next)
    }

    /// What is wrong with the file.
    pub(crate) fn fault(
        &self,
        found: impl Display,
        expected: impl Display,
        next: &str,
    ) -> LensError {
        LensError::refused(&self.name, found.to_string(), expected.to_string(), next)
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

/// `read_exact` on a slice.
trait ReadExactInto {
    fn read_exact_into(self, buffer: &mut [u8]) -> std::io::Result<()>;
}

impl ReadExactInto for &[u8] {
    fn read_exact_into(mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        self.read_exact(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Result<TensorFile> {
        let size = (header.len() as u64).to_le_bytes();
        let bytes = [&size[..], header.as_bytes(), data].concat();
        TensorFile::from_bytes("t", bytes, BUDGET)
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
}
