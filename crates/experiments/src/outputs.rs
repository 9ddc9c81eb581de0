//! From an item's outputs to files and a manifest entry.

use crate::profile::Profile;
use crate::registry::{Item, Outputs};
use artifact::digest::sha256;
use artifact::figure::{to_pdf, to_png};
use artifact::manifest::{
    FORMAT, FigureEntry, FileEntry, Manifest, ManifestItem, TableEntry, canonical_json,
};
use artifact::output;
use std::collections::BTreeMap;
use std::path::Path;

/// Resolution of the PNG of a figure.
const DPI: f32 = 300.0;

/// Files by path inside a profile's folder.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The files of one item and its manifest entry.
pub(crate) fn render(
    item: &dyn Item,
    settings: serde_json::Value,
    outputs: &Outputs,
) -> anyhow::Result<(Files, ManifestItem)> {
    let id = item.id();
    let mut files = Files::new();
    let mut tables = BTreeMap::new();
    for (table, tolerances) in &outputs.tables {
        let path = format!("data/{id}/{}.csv", table.name());
        files.insert(path.clone(), table.to_csv()?);
        tables.insert(path, TableEntry::new(table, tolerances)?);
    }
    let mut figures = BTreeMap::new();
    for (figure, shown) in &outputs.figures {
        let svg = figure.to_svg()?;
        let (png, pdf) = (to_png(&svg, DPI)?, to_pdf(&svg)?);
        let drawn_from: Vec<String> =
            shown.iter().map(|table| format!("data/{id}/{table}.csv")).collect();
        for (extension, bytes) in [("svg", svg.into_bytes()), ("png", png), ("pdf", pdf)] {
            let path = format!("figures/{}.{extension}", figure.id);
            let entry = FigureEntry { sha256: sha256(&bytes), drawn_from: drawn_from.clone() };
            figures.insert(path.clone(), entry);
            files.insert(path, bytes);
        }
    }
    let claims = canonical_json(&outputs.claims)?;
    let path = format!("data/{id}/claims.json");
    let entry = FileEntry { path: path.clone(), sha256: sha256(&claims) };
    files.insert(path, claims);
    let manifest = ManifestItem {
        paper: item.paper().to_owned(),
        claim: item.claim().to_owned(),
        settings,
        tables,
        figures,
        claims: entry,
    };
    Ok((files, manifest))
}

/// An empty manifest of a profile.
pub(crate) fn empty_manifest(profile: Profile) -> Manifest {
    Manifest {
        format: FORMAT.to_owned(),
        profile: profile.name().to_owned(),
        generator: icl_numerics::stream::ALGORITHM.to_owned(),
        items: BTreeMap::new(),
    }
}

/// Takes over from an earlier run in `dir` the items that are not in `manifest`, if they are known and
/// undamaged; returns the ids that were left behind.
pub(crate) fn carry_over(
    dir: &Path,
    known: impl Fn(&str) -> bool,
    manifest: &mut Manifest,
    files: &mut Files,
) -> Vec<String> {
    let Ok(earlier) = Manifest::read(dir) else {
        return Vec::new();
    };
    if earlier.profile != manifest.profile || earlier.generator != manifest.generator {
        return earlier.items.into_keys().collect();
    }
    let mut left = Vec::new();
    for (id, item) in earlier.items {
        if manifest.items.contains_key(&id) {
            continue;
        }
        match undamaged(dir, &item) {
            Some(kept) if known(&id) => {
                files.extend(kept);
                manifest.items.insert(id, item);
            }
            _ => left.push(id),
        }
    }
    left
}

fn undamaged(dir: &Path, item: &ManifestItem) -> Option<Files> {
    item.files()
        .map(|(path, digest)| {
            let bytes = output::read(&dir.join(path)).ok()?;
            (sha256(&bytes) == digest).then_some((path.to_owned(), bytes))
        })
        .collect()
}
