//! From an item's outputs to files and a manifest entry.

use crate::item::{Item, Outputs};
use crate::profile::Profile;
use crate::record::{ItemRecord, RunRecord};
use anyhow::bail;
use artifact::Class;
use artifact::claim::Claim;
use artifact::digest::sha256;
use artifact::figure::{Figure, to_pdf, to_png};
use artifact::latex;
use artifact::manifest::{
    FORMAT, FigureEntry, FileEntry, ItemProvenance, Manifest, ManifestItem, Provenance, TableEntry,
    canonical_json,
};
use artifact::output;
use std::collections::BTreeMap;
use std::path::Path;

/// Resolution of the PNG of a figure.
const DPI: f32 = 300.0;

/// Files by path inside a profile's folder.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// An item's files, its manifest entry, and the run that made them.
pub(crate) struct Published {
    pub(crate) files: Files,
    pub(crate) entry: ManifestItem,
    pub(crate) record: ItemRecord,
    /// What they come from; none where an earlier version made them.
    pub(crate) provenance: Option<ItemProvenance>,
}

/// A caption: first the item's finding and whether it was found, then what is shown.
fn caption(item: &Item, outputs: &Outputs, figure: &Figure) -> String {
    let expected: Vec<&Claim> = outputs.claims.iter().filter(|claim| claim.expected).collect();
    let holding = expected.iter().filter(|claim| !claim.breaks()).count();
    let finding = match (expected.len(), holding) {
        (0, _) => format!("{}: asked here, with nothing claimed beforehand.", item.claim),
        (1, 1) => format!("{} (the expected claim holds).", item.claim),
        (all, n) if n == all => format!("{} (all {all} expected claims hold).", item.claim),
        (all, n) => format!("Not shown here: {} ({n} of {all} expected claims hold).", item.claim),
    };
    format!("{finding} {}", figure.caption)
}

/// The files of one item, whose numbers are of `class`, and its manifest entry.
pub(crate) fn render(
    item: &Item,
    settings: serde_json::Value,
    class: Class,
    outputs: &Outputs,
) -> anyhow::Result<(Files, ManifestItem)> {
    let id = item.id;
    outputs.claims.iter().try_for_each(check_finite)?;
    let claims = canonical_json(&outputs.claims)?;
    let path = format!("data/{id}/claims.json");
    let mut files = Files::new();
    let mut manifest = ManifestItem {
        paper: item.paper.to_owned(),
        claim: item.claim.to_owned(),
        settings,
        tables: BTreeMap::new(),
        captions: BTreeMap::new(),
        figures: BTreeMap::new(),
        claims: FileEntry { path: path.clone(), sha256: sha256(&claims) },
    };
    files.insert(path, claims);
    for (table, tolerances) in &outputs.tables {
        let path = format!("data/{id}/{}.csv", table.name());
        files.insert(path.clone(), table.to_csv()?);
        if let Some(text) = latex::table(id, item.claim, table)? {
            let fragment = (format!("figures/{id}.{}.tex", table.name()), text.into_bytes());
            add_figure(&mut files, &mut manifest, fragment, vec![path.clone()]);
        }
        manifest.tables.insert(path, TableEntry::new(table, class, tolerances)?);
    }
    for (figure, shown) in &outputs.figures {
        let figure = Figure { caption: caption(item, outputs, figure), ..figure.clone() };
        manifest.captions.insert(figure.id.clone(), figure.caption.clone());
        let svg = figure.to_svg()?;
        let (png, pdf) = (to_png(&svg, DPI)?, to_pdf(&svg, item.claim)?);
        let tex = latex::figure(&figure)?.into_bytes();
        let drawn_from: Vec<String> =
            shown.iter().map(|table| format!("data/{id}/{table}.csv")).collect();
        let forms = [("svg", svg.into_bytes()), ("png", png), ("pdf", pdf), ("tex", tex)];
        for (extension, bytes) in forms {
            let file = (format!("figures/{}.{extension}", figure.id), bytes);
            add_figure(&mut files, &mut manifest, file, drawn_from.clone());
        }
    }
    Ok((files, manifest))
}

/// Adds a file that shows tables.
fn add_figure(
    files: &mut Files,
    manifest: &mut ManifestItem,
    (path, bytes): (String, Vec<u8>),
    drawn_from: Vec<String>,
) {
    let entry = FigureEntry { sha256: sha256(&bytes), drawn_from };
    manifest.figures.insert(path.clone(), entry);
    files.insert(path, bytes);
}

/// JSON has no NaN: a claim with one could be written, and not be read back.
fn check_finite(claim: &Claim) -> anyhow::Result<()> {
    let [lower, upper] = claim.interval;
    let numbers = [
        ("value", claim.value),
        ("lower end", lower),
        ("upper end", upper),
        ("bound", claim.bound),
    ];
    match numbers.into_iter().find(|(_, x)| !x.is_finite()) {
        Some((field, x)) => bail!(
            "claim {}: {field}: found {x}, expected a finite number; {} shows where it comes from",
            claim.id,
            claim.evidence
        ),
        None => Ok(()),
    }
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

/// What an earlier run left in a profile's folder.
pub(crate) struct Earlier {
    manifest: Manifest,
    record: Option<RunRecord>,
    provenance: Option<Provenance>,
}

impl Earlier {
    /// Reads manifest and record; none if there is no manifest of this profile and generator.
    pub(crate) fn read(dir: &Path, profile: Profile) -> Option<Self> {
        let (manifest, own) = (Manifest::read(dir).ok()?, empty_manifest(profile));
        let same = (&manifest.profile, &manifest.generator) == (&own.profile, &own.generator);
        same.then(|| Self {
            manifest,
            record: RunRecord::read(dir),
            provenance: Provenance::read(dir),
        })
    }

    /// The ids of its items.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.manifest.items.keys().map(String::as_str)
    }

    /// An item's record, if the run wrote one.
    pub(crate) fn record(&self, id: &str) -> Option<&ItemRecord> {
        self.record.as_ref()?.items.get(id)
    }

    /// An item with its record, if all its files are undamaged.
    pub(crate) fn undamaged(&self, dir: &Path, id: &str) -> Option<Published> {
        let (entry, record) = (self.manifest.items.get(id)?, self.record(id)?.clone());
        let intact = |(path, digest): (&str, &str)| {
            let bytes = output::read(&dir.join(path)).ok()?;
            (sha256(&bytes) == digest).then(|| (path.to_owned(), bytes))
        };
        let files = entry.files().map(intact).collect::<Option<Files>>()?;
        let provenance = self.provenance.as_ref().and_then(|all| all.items.get(id).cloned());
        Some(Published { files, entry: entry.clone(), record, provenance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifact::manifest::{self, RUN};
    use std::path::PathBuf;

    /// A published folder with one item of two files.
    fn folder(dir: &Path) -> PathBuf {
        let item = crate::registry::built_in()[0];
        let claim = artifact::claim::at_most(
            artifact::claim::Place { item: item.id, claim: "c", table: "t" },
            "a number is small",
            1.0,
            4.0,
        );
        let table =
            artifact::table::Table::builder("t").floats("x", vec![1.0, 2.0]).build().unwrap();
        let tables = vec![(table, BTreeMap::new())];
        let outputs = Outputs { tables, figures: Vec::new(), claims: vec![claim] };
        let settings = serde_json::json!({ "n": 1 });
        let (files, entry) = render(item, settings, Class::Exact, &outputs).unwrap();
        let mut manifest = empty_manifest(Profile::Smoke);
        manifest.items.insert(item.id.to_owned(), entry);
        let one = ItemRecord {
            computed: 1,
            restored: 0,
            cell_seconds: 0.5,
            source_digest: "s".into(),
            assembled: "a".into(),
            gpu: None,
        };
        let record = RunRecord {
            seconds: 1.0,
            jobs: 1,
            isa: "portable".into(),
            peak_memory_mib: None,
            items: BTreeMap::from([(item.id.to_owned(), one)]),
        };
        let run = BTreeMap::from([(RUN.to_owned(), canonical_json(&record).unwrap())]);
        let dir = dir.join("smoke");
        manifest::publish(&dir, &manifest, &files, &run).unwrap();
        dir
    }

    #[test]
    fn an_earlier_item_is_taken_over_only_undamaged_and_of_its_own_profile() {
        let root = tempfile::tempdir().unwrap();
        let dir = folder(root.path());
        assert!(Earlier::read(&dir, Profile::Quick).is_none());
        assert!(Earlier::read(root.path(), Profile::Smoke).is_none());
        let earlier = Earlier::read(&dir, Profile::Smoke).unwrap();
        let id = earlier.ids().next().unwrap().to_owned();
        let whole = earlier.undamaged(&dir, &id).unwrap();
        assert_eq!((whole.files.len(), whole.record.computed), (3, 1));
        assert!(whole.provenance.is_none() && earlier.undamaged(&dir, "other").is_none());
        let table = dir.join(format!("data/{id}/t.csv"));
        let text = std::fs::read_to_string(&table).unwrap();
        std::fs::write(&table, text.replace('2', "3")).unwrap();
        assert!(earlier.undamaged(&dir, &id).is_none());
        std::fs::remove_file(&table).unwrap();
        assert!(earlier.undamaged(&dir, &id).is_none());
        // without a record nobody knows from which cells the outputs follow
        std::fs::remove_file(dir.join(RUN)).unwrap();
        let unrecorded = Earlier::read(&dir, Profile::Smoke).unwrap();
        assert!(unrecorded.record(&id).is_none() && unrecorded.undamaged(&dir, &id).is_none());
    }
}
