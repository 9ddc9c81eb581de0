//! Compiles the kernels: for the host, which the tests compare with the processor's own, and, with the feature `cuda`,
//! to PTX that the library embeds.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Architecture of the PTX; drivers translate it for every later one.
const PTX_ARCHITECTURE: &str = "compute_80";
/// IEEE arithmetic to the letter: no contraction, no flushing, roundings as they are spelled.
const OPTIONS: &str = include_str!("kernels/nvcc.options");

fn main() {
    println!("cargo::rerun-if-changed=kernels");
    host("", None);
    host("backwards", Some("THREADS_BACKWARDS"));
    // what the tests must catch
    host("contracted", Some("MUTANT_CONTRACTED"));
    host("reordered", Some("MUTANT_REORDERED"));
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        ptx();
    }
}

/// The kernels on a host.
fn host(variant: &str, define: Option<&str>) {
    let mut build = cc::Build::new();
    build.file("kernels/host.c").opt_level(2).std("c11").flag("-ffp-contract=off");
    if !variant.is_empty() {
        build.define("ENTRY(name)", format!("name##_{variant}").as_str());
    }
    if let Some(define) = define {
        build.define(define, None);
    }
    let suffix = if variant.is_empty() { "exact" } else { variant };
    build.compile(&format!("icl_kernels_{suffix}"));
}

fn ptx() {
    for name in ["NVCC", "CUDA_HOME", "CUDA_PATH", "PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target = out.join("train.ptx");
    let nvcc = compiler();
    let status = Command::new(&nvcc)
        .args(["-ptx", "-arch", PTX_ARCHITECTURE])
        .args(OPTIONS.lines())
        .args(["kernels/train.cu", "-o"])
        .arg(&target)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            panic!("{}: found {status}, expected PTX from kernels/train.cu", nvcc.display())
        }
        Err(error) => panic!(
            "{}: {error}; the feature `cuda` needs nvcc of CUDA 12 or 13: install the toolkit, or set NVCC or CUDA_HOME",
            nvcc.display()
        ),
    }
    println!("cargo::rustc-env=ICL_TRAIN_PTX={}", target.display());
}

/// nvcc by `NVCC`, in the toolkit's folder, or on the path.
fn compiler() -> PathBuf {
    if let Some(nvcc) = env::var_os("NVCC") {
        return nvcc.into();
    }
    let folders = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os).map(PathBuf::from);
    let usual = [PathBuf::from("/usr/local/cuda")];
    let found =
        folders.chain(usual).map(|folder| folder.join("bin/nvcc")).find(|nvcc| nvcc.exists());
    found.unwrap_or_else(|| "nvcc".into())
}
