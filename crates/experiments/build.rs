//! Two digests of the source. `ICL_CELL_DIGEST` covers everything that can change a cell's numbers: it is part of
//! every cell's key, so that a stored result is never mistaken for one of other code. `ICL_SOURCE_DIGEST` covers in
//! addition what makes outputs of cells, figures and claims: it says which source made an item's outputs. Commands,
//! messages and documents are in neither; dependencies come in by the lock file, the compiler by its pinned version.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 10] = [
    "../artifact/src",
    "../dual-model/src",
    "../icl-cuda/kernels",
    "../icl-cuda/src",
    "../glue/src",
    "../icl-model/src",
    "../icl-numerics/src",
    "../icl-registry/src",
    "../lens/src",
    "src",
];

const FILES: [&str; 13] = [
    "../../.cargo/config.toml",
    "../../Cargo.lock",
    "../../Cargo.toml",
    "../../rust-toolchain.toml",
    "../artifact/Cargo.toml",
    "../dual-model/Cargo.toml",
    "../glue/Cargo.toml",
    "../icl-cuda/Cargo.toml",
    "../icl-model/Cargo.toml",
    "../icl-numerics/Cargo.toml",
    "../icl-registry/Cargo.toml",
    "../lens/Cargo.toml",
    "Cargo.toml",
];

/// Endings of source files: Rust, kernels.
const SOURCES: [&str; 4] = ["rs", "h", "c", "cu"];

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

/// No cell passes through these, only what is made of cells or says which there are: whole folders and files, and
/// files of a name. What they choose of a cell stands in its specification, which is part of the key.
const PRESENTATION: [&str; 24] = [
    "../artifact/src/claim",
    "../artifact/src/figure",
    "../artifact/src/finding.rs",
    "../artifact/src/latex.rs",
    "../artifact/src/lib.rs",
    "../artifact/src/manifest",
    "../artifact/src/verify",
    "src/item.rs",
    "src/items/fig10_long_prompt.rs",
    "src/items/fig11_two_heads.rs",
    "src/items/fig12_random_feature_layer.rs",
    "src/items/fig13_transformer_layer.rs",
    "src/items/fig14_two_layers.rs",
    "src/items/fig15_combined.rs",
    "src/items/fig3_linear.rs",
    "src/items/fig8_trigonometric.rs",
    "src/items/fig9_exponential.rs",
    "src/items/mod.rs",
    "src/lib.rs",
    "src/publish.rs",
    "src/record.rs",
    "src/registry.rs",
    "src/scheme/page.rs",
    "src/training_figure",
];
const PRESENTATION_NAMES: [&str; 3] = ["claims.rs", "drawing.rs", "outputs.rs"];

fn main() -> std::io::Result<()> {
    let mut files = FILES.map(PathBuf::from).to_vec();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        collect(Path::new(folder), &mut files)?;
    }
    files.sort();
    let (mut source, mut cells) = (Sha256::new(), Sha256::new());
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let text = std::fs::read(&file)?;
        for hash in
            [Some(&mut source), (!presents(&file)).then_some(&mut cells)].into_iter().flatten()
        {
            hash.update(file.to_string_lossy().as_bytes());
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(&text);
        }
    }
    for (name, hash) in [("ICL_SOURCE_DIGEST", source), ("ICL_CELL_DIGEST", cells)] {
        let mut digest = String::new();
        for byte in hash.finalize() {
            write!(digest, "{byte:02x}").map_err(std::io::Error::other)?;
        }
        println!("cargo::rustc-env={name}={digest}");
    }
    Ok(())
}

/// Whether a file only makes outputs of what cells computed.
fn presents(file: &Path) -> bool {
    let named = PRESENTATION_NAMES.iter().any(|name| file.ends_with(name));
    named || PRESENTATION.iter().any(|path| file.starts_with(path))
}

/// Every source file of a folder; what editors leave beside them is none.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || WITHOUT.iter().any(|without| path == Path::new(without)) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|own| SOURCES.iter().any(|source| own == *source)) {
            files.push(path);
        }
    }
    Ok(())
}
