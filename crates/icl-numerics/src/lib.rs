//! Numerical ground floor: everything whose bits must be the same on every machine.
//!
//! * [`stream`]: named, counter-based random streams with a fixed number of draws per sample.
//! * [`chacha`]: the generator's block function.
//! * [`lanes`]: sixteen `f32` lanes with run-time dispatch; same operations, same bits on every CPU.
//! * [`elementary`]: `exp`, `ln`, `sin`/`cos`, `tanh` on lanes, at most 1 ulp (tested exhaustively), and GELU.
//! * [`math`]: the `f64` elementary functions, pure Rust from the pinned `libm` crate.
//! * [`largest`]: the largest number or difference, NaN when one is not finite.
//! * [`cholesky`]: systems of linear equations.
//! * [`order`]: sums whose order is written in source.
//! * [`mod@product`]: products of matrices, each entry one chain of fused multiply-adds.
//! * [`threads`]: on which threads independent units of work run.
//! * [`symmetric`]: eigenvalues of small symmetric matrices.
//! * [`tolerance`]: bounds that carry the reason for their size.
//! * [`finite_difference`]: central differences, the judge of every gradient.
//!
//! It knows nothing of attention and depends on no other crate of the workspace.

#![allow(clippy::inline_always, reason = "a call that is not inlined loses the instruction set")]

pub mod chacha;
pub mod cholesky;
pub mod elementary;
pub mod finite_difference;
pub mod lanes;
pub mod largest;
pub mod math;
pub mod order;
pub mod product;
pub mod stream;
pub mod symmetric;
pub mod threads;
pub mod tolerance;
