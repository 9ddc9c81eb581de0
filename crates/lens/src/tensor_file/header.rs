//! The header of a file, checked before anything else is read.

use super::{AGAIN, Source, TensorFile};
use crate::error::{LensError, Result};
use std::cell::Cell;
use std::collections::BTreeMap;

/// Bytes of a header.
const MAX_HEADER: u64 = 16 << 20;

impl TensorFile {
    /// The file of a source of `length` bytes.
    pub(super) fn parse(name: String, source: Source, length: u64, budget: u64) -> Result<Self> {
        let (tensors, metadata) = (BTreeMap::new(), BTreeMap::new());
        let mut file = Self { name, source, start: 0, tensors, metadata, left: Cell::new(budget) };
        let damaged = |found: String, expected: &str| {
            LensError::refused(format!("{}: header", file.name), found, expected, AGAIN)
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
    fn check(&self, length: u64) -> Result<()> {
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
}

/// Number of entries.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, axis| product.checked_mul(*axis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_file::BUDGET;

    fn file(header: &str, data: &[u8]) -> Result<TensorFile> {
        let size = (header.len() as u64).to_le_bytes();
        let bytes = [&size[..], header.as_bytes(), data].concat();
        TensorFile::from_bytes("t", bytes, BUDGET)
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
