//! Digest of everything that can change a number: it is part of every cell's key, so that a stored result is
//! never mistaken for one of other code. Commands, messages and documents are left out; dependencies come in
//! by the lock file, the compiler by its pinned version.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 8] = [
    "../artifact/src",
    "../dual-model/src",
    "../glue/src",
    "../icl-model/src",
    "../icl-numerics/src",
    "../icl-registry/src",
    "../lens/src",
    "src",
];

const FILES: [&str; 12] = [
    "../../.cargo/config.toml",
    "../../Cargo.lock",
    "../../Cargo.toml",
    "../../rust-toolchain.toml",
    "../artifact/Cargo.toml",
    "../dual-model/Cargo.toml",
    "../glue/Cargo.toml",
    "../icl-model/Cargo.toml",
    "../icl-numerics/Cargo.toml",
    "../icl-registry/Cargo.toml",
    "../lens/Cargo.toml",
    "Cargo.toml",
];

/// No cell and no output passes through these.
const WITHOUT: [&str; 15] = [
    "src/cli",
    "src/clock.rs",
    "src/commands",
    "src/console.rs",
    "src/costs.rs",
    "src/fuzzing.rs",
    "src/host.rs",
    "src/main.rs",
    "src/outcome.rs",
    "src/pace.rs",
    "src/progress.rs",
    "src/report.rs",
    "src/signals.rs",
    "src/spot_check.rs",
    "src/timing.rs",
];

fn main() -> std::io::Result<()> {
    let mut files = FILES.map(PathBuf::from).to_vec();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        collect(Path::new(folder), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let text = std::fs::read(&file)?;
        hash.update(file.to_string_lossy().as_bytes());
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(&text);
    }
    let mut digest = String::new();
    for byte in hash.finalize() {
        write!(digest, "{byte:02x}").map_err(std::io::Error::other)?;
    }
    println!("cargo::rustc-env=ICL_SOURCE_DIGEST={digest}");
    Ok(())
}

/// Every Rust file of a folder; what editors leave beside them is none.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || WITHOUT.iter().any(|without| path == Path::new(without)) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
