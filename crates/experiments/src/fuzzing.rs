//! Hooks for the fuzz targets in `fuzz/`.
/// a
pub fn settings(_b: &[u8]) {}
/// a
pub fn table(_b: &[u8]) {}
/// a
pub fn tensors(_b: &[u8]) {}
/// a
pub fn manifest(_b: &[u8]) {}
