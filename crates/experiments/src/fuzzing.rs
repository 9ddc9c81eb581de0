//! Hooks for the fuzz targets in `fuzz/`: bytes that a user or another program gives us. Whatever they are, a
//! hook ends soon, in little memory, and without a panic; what it asserts is asserted of every input.

use crate::inputs::Inputs;
use crate::item::{self, Context};
use crate::profile::Profile;
use crate::record::RunRecord;
use crate::registry;
use crate::settings::SettingsFile;
use artifact::Class;
use artifact::claim::Claim;
use artifact::manifest::{Manifest, Provenance, TableEntry, canonical_json, parse_sums};
use artifact::store::{self, Receipt};
use artifact::table::{ColumnType, Schema, Table};
use artifact::verify::compare_tables;
use icl_lens::{
    Layout, Mask, Options, Pairs, Precision, RotaryStyle, TensorFile, explain, feature_map,
};
use icl_model::device::Device;
use icl_numerics::lanes::Isa;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// As the settings of the item that the first line names, `# fig3-linear`, or else of every item: they are
/// planned in all profiles; no cell is computed.
///
/// # Panics
/// If something does that is called with the settings.
pub fn settings(bytes: &[u8]) {
    let Ok(file) = SettingsFile::parse(Path::new("fuzz.toml"), bytes) else { return };
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let named = |id: &str| first.strip_prefix(b"# ") == Some(id.as_bytes());
    let items = registry::built_in();
    let all = !items.iter().any(|item| named(item.id));
    let inputs = Inputs { data: PathBuf::new(), models: PathBuf::new() };
    for item in items.iter().filter(|item| all || named(item.id)) {
        for profile in Profile::ALL {
            let context = Context { profile, device: Device::Cpu(Isa::Portable), inputs: &inputs };
            let Ok(plan) = item::plan(item, &file, context) else { continue };
            plan.cells.iter().for_each(|cell| _ = cell.key("source"));
        }
    }
}

/// As a table in CSV, with the columns of our tables and with those that its header names: what parses is
/// written as a text that parses to the same.
///
/// # Panics
/// If it is not.
pub fn table(bytes: &[u8]) {
    for schema in fixed_schemas().into_iter().chain(schema_of_header(bytes)) {
        let Ok(table) = Table::from_csv("t.csv", &schema, bytes) else { continue };
        let csv = table.to_csv().expect("a table has a text");
        let back = Table::from_csv("t.csv", &schema, &csv).expect("its text parses");
        assert_eq!(back.rows(), table.rows());
        for (name, _) in &schema {
            assert_eq!(
                back.entries(name).expect("a column"),
                table.entries(name).expect("a column")
            );
        }
        assert_eq!(back.to_csv().expect("a table has a text"), csv);
        let entry =
            TableEntry::new(&table, Class::Exact, &BTreeMap::new()).expect("a table has an entry");
        assert_eq!(compare_tables("t.csv", &back, &table, &entry).expect("equal columns"), []);
    }
}

fn fixed_schemas() -> [Schema; 3] {
    use ColumnType::{Float, Integer, Text};
    let schema = |columns: &[(&str, ColumnType)]| {
        columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
    };
    [
        schema(&[("x", Float)]),
        schema(&[("text", Text)]),
        schema(&[("set", Text), ("step", Integer), ("test_loss", Float), ("relative_loss", Float)]),
    ]
}

/// Columns with the names in the header, if they are plain: text, integers or floats by the first letter.
fn schema_of_header(bytes: &[u8]) -> Option<Schema> {
    let header = std::str::from_utf8(bytes).ok()?.lines().next()?;
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let column = |name: &str| {
        let kind = match name.bytes().next()? {
            b't' => ColumnType::Text,
            b'i' => ColumnType::Integer,
            _ => ColumnType::Float,
        };
        plain(name).then(|| (name.to_owned(), kind))
    };
    header.split(',').map(column).collect()
}

/// What the lens is asked for, chosen by the first byte; maps of features by its upper bits.
fn options(choice: u8) -> Options {
    let plain = Options { pairs: Pairs::Never, ..Options::default() };
    let maps = &feature_map::ALL[1..];
    let kernel = || feature_map::Choice::from(&maps[usize::from(choice / 8) % maps.len()]);
    match choice % 8 {
        0 => plain,
        1 => Options { heads: Some(2), ..plain },
        2 => Options { mask: Mask::Causal, ..plain },
        3 => Options { heads: Some(2), kv_heads: Some(1), rotary: Some(1e4), ..plain },
        4 => Options { kernel: kernel(), d_r: 8, ..plain },
        5 => Options {
            precision: Precision::F32,
            rotary: Some(10.0),
            rotary_style: RotaryStyle::Interleaved,
            ..plain
        },
        6 => Options { layout: Some(Layout::Linear), demos: Some(1), ..plain },
        _ => Options {
            layout: Some(Layout::PerHead),
            head_size: Some(2),
            kernel: kernel(),
            d_r: 8,
            ..plain
        },
    }
}

/// As the safetensors files of an attention layer and its tokens: the first byte chooses the options, the next
/// two say how long the file with the weights is, the rest is the one with the tokens.
///
/// # Panics
/// If something does that is called with the files.
pub fn tensors(bytes: &[u8]) {
    let Some((&[choice, low, high], files)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_le_bytes([low, high])).min(files.len());
    let (weights, tokens) = files.split_at(length);
    let open = |bytes: &[u8]| TensorFile::from_bytes("fuzz", bytes.to_vec(), 64 << 20).ok();
    for file in [weights, tokens].into_iter().filter_map(open) {
        for name in file.names() {
            _ = file.numbers(name, "any");
            _ = file.array(name, "any");
        }
    }
    if let (Some(weights), Some(tokens)) = (open(weights), open(tokens)) {
        _ = explain(&options(choice), &weights, &tokens).map(|explained| explained.report.json());
    }
}

/// As each of the texts that stand beside outputs and results: the canonical text of what parses parses to
/// the same.
///
/// # Panics
/// If it does not.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(Path::new("manifest.json"), bytes) {
        assert_eq!(manifest.to_json().expect("a manifest has a text"), bytes);
        sums(&manifest.sums().expect("a manifest has digests"));
    }
    sums(&String::from_utf8_lossy(bytes));
    for claim in canonical::<Vec<Claim>>(bytes).into_iter().flatten() {
        assert_eq!(claim.judge(), claim.judged().verdict);
    }
    canonical::<RunRecord>(bytes);
    canonical::<Provenance>(bytes);
    if let Some(receipt) = canonical::<Receipt>(bytes) {
        _ = store::key(receipt.class, &receipt.source_digest, &receipt.specification);
    }
}

/// What the bytes hold, if they are such a value.
fn canonical<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let text = canonical_json(&value).expect("a value has a text");
    let back: T = serde_json::from_slice(&text).expect("its text parses");
    assert_eq!(canonical_json(&back).expect("a value has a text"), text);
    Some(value)
}

/// A list of digests: what could be read of it is written as a list without faults.
fn sums(text: &str) {
    let (mut sums, _) = parse_sums(text);
    // a name that ends so cannot be told from the end of a line
    sums.retain(|path, _| !path.ends_with('\r'));
    let line = |(path, digest): (&String, &String)| format!("{digest}  {path}\n");
    let (back, faults) = parse_sums(&sums.iter().map(line).collect::<String>());
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(back, sums);
}
