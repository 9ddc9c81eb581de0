//! What nvcc makes of the kernels: nothing contracted, flushed or approximated, for every architecture.
//!
//! `just test-cuda` runs these; they need nvcc and no GPU.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests write where they like")]

use std::path::{Path, PathBuf};
use std::process::Command;

const OPTIONS: &str = include_str!("../kernels/nvcc.options");

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/train.cu")
}

/// nvcc's output for a source, with options besides.
fn compiled(source: &Path, options: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    let nvcc = std::env::var_os("NVCC").unwrap_or_else(|| "nvcc".into());
    let output = Command::new(&nvcc).args(options).arg(source).arg("-o").arg(&target).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", nvcc.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(target).unwrap()
}

fn ptx(source: &Path, options: &[&str]) -> String {
    let all = [&["-ptx", "-arch", "compute_80"], options].concat();
    String::from_utf8(compiled(source, &all)).unwrap()
}

/// Instructions on floating-point numbers, by name.
fn arithmetic(ptx: &str) -> Vec<&str> {
    let names = ptx.lines().filter_map(|line| line.split_whitespace().next());
    let of_floats = names.filter(|name| name.ends_with(".f32") || name.ends_with(".f64"));
    of_floats.collect()
}

/// The instruction may round in one way only: as the text spells it.
fn is_spelled(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[0] {
        "add" | "sub" | "mul" | "div" | "sqrt" | "fma" | "rcp" | "cvt" => {
            // widening is exact and has no rounding
            let exact = parts[0] == "cvt" && !parts.contains(&"rn");
            parts.contains(&"rn") && !parts.contains(&"ftz") || exact && name == "cvt.f64.f32"
        }
        // exact; of `max` and `min`, only what the compiler puts for a comparison without NaN
        "max" | "min" | "mov" | "ld" | "st" | "neg" | "abs" | "selp" | "setp" | "testp" => {
            !parts.contains(&"ftz")
        }
        _ => false,
    }
}

#[test]
#[ignore = "needs nvcc"]
fn nvcc_spells_every_operation_as_the_source_does() {
    let options: Vec<&str> = OPTIONS.lines().collect();
    let text = ptx(&kernels(), &options);
    let found = arithmetic(&text);
    let strange: Vec<&&str> = found.iter().filter(|name| !is_spelled(name)).collect();
    assert!(found.len() > 1000 && strange.is_empty(), "{strange:?} of {}", found.len());
    // what a compiler may contract, it would contract here
    let free: Vec<&str> =
        options.iter().copied().filter(|option| *option != "-fmad=false").collect();
    let count = |text: &str| {
        let fused = |name: &&&str| name.starts_with("fma");
        arithmetic(text).iter().filter(fused).count()
    };
    assert_eq!(count(&text), count(&ptx(&kernels(), &free)));
}

#[test]
#[ignore = "needs nvcc"]
fn nvcc_output_that_is_not_spelled_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("loose.cu");
    let text =
        "extern \"C\" __global__ void loose(float *x) { x[0] = x[1] * x[2] + __expf(x[3]); }";
    std::fs::write(&source, text).unwrap();
    let text = ptx(&source, &["-O3"]);
    let found = arithmetic(&text);
    assert!(found.contains(&"fma.rn.f32"), "contracted: {found:?}");
    assert!(found.iter().any(|name| !is_spelled(name)), "approximated: {found:?}");
}

#[test]
#[ignore = "needs nvcc"]
fn nvcc_makes_machine_code_for_every_architecture() {
    for architecture in ["sm_80", "sm_90", "sm_100"] {
        let options: Vec<&str> =
            ["-cubin", "-arch", architecture].into_iter().chain(OPTIONS.lines()).collect();
        let code = compiled(&kernels(), &options);
        assert!(code.starts_with(b"\x7fELF"), "{architecture}");
        disassembled(&code, architecture);
    }
}

/// Where a disassembler is, no fused multiply-add flushes to zero; what divisions and roots are made of does.
fn disassembled(code: &[u8], architecture: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("code.cubin");
    std::fs::write(&file, code).unwrap();
    let Ok(output) = Command::new("nvdisasm").arg("-c").arg(&file).output() else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("FFMA"), "{architecture}");
    assert!(!text.contains("FFMA.FTZ"), "{architecture}");
}
