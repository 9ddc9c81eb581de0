//! What the page says, as plain values.

use super::log::Logged;
use super::tables::{Inline, Table, matrices};
use crate::commands::document;
use crate::commands::expected::{interval, number};
use crate::commands::findings::FINDINGS;
use crate::commands::gaps::{self, Gap};
use crate::item::Item;
use crate::profile::Profile;
use crate::record::{ItemRecord, RunRecord};
use crate::registry;
use crate::workspace::Workspace;
use artifact::Class;
use artifact::claim::{Claim, Side, Verdict};
use artifact::digest::short;
use artifact::manifest::{Manifest, ManifestItem, Provenance};
use artifact::output;
use artifact::verify::{Level, OutputReport, Report};
use icl_numerics::largest;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Serialize)]
pub(super) struct Page {
    profile: &'static str,
    font: String,
    verdict: Headline,
    findings: Vec<Finding>,
    items: Vec<ItemPage>,
    claims: Vec<ClaimRow>,
    words: BTreeSet<&'static str>,
    gaps: Vec<Gap>,
    log: Vec<Logged>,
    notes: Vec<String>,
    cost: String,
    /// What the comparison with other programs measured, and its table, header first.
    speed: (String, Vec<Vec<String>>),
    glossary: [(&'static str, &'static str); 8],
}

#[derive(Serialize)]
struct Headline {
    word: &'static str,
    class: &'static str,
    lines: Vec<String>,
    compared: bool,
}

#[derive(Serialize)]
struct Finding {
    sentence: String,
    quantity: &'static str,
    item: &'static str,
    value: Option<String>,
    interval: String,
    word: &'static str,
    class: &'static str,
}

#[derive(Serialize)]
struct ItemPage {
    id: String,
    paper: String,
    of_paper: bool,
    claim: String,
    level: &'static str,
    agreement: String,
    class: &'static str,
    time: String,
    command: String,
    figures: Vec<FigurePart>,
    claims: Vec<ClaimRow>,
    settings: Vec<Setting>,
    tables: Vec<Table>,
    files: Vec<File>,
    computed: usize,
    restored: usize,
    seconds: String,
}

#[derive(Serialize)]
struct FigurePart {
    id: String,
    svg: String,
    view: String,
    caption: String,
    /// Names of the tables that it shows.
    from: String,
    /// The dual's matrices as JSON, where its steps can be walked through.
    steps: Option<String>,
}

#[derive(Clone, Serialize)]
struct ClaimRow {
    id: String,
    word: &'static str,
    class: &'static str,
    kind: &'static str,
    statement: String,
    value: String,
    interval: String,
    bound: String,
    /// Lower end, value, upper end and bound, in hundredths of a common axis.
    strip: [f64; 4],
}

#[derive(Serialize)]
struct Setting {
    name: String,
    value: String,
    tag: String,
    reason: String,
}

#[derive(Serialize)]
struct File {
    path: String,
    sha256: String,
    level: &'static str,
}

/// The figure whose dual can be walked through, and its table.
const STEPPED: &str = "fig1-dual-scheme";
const STEPS: &str = "data/fig1-dual-scheme/matrices.csv";

const GLOSSARY: [(&str, &str); 8] = [
    (
        "dual model",
        "f(x) = Wφ(x), trained by one gradient step on the demonstrations; its prediction for the query is attention's output",
    ),
    ("bits", "every output has the SHA-256 that is expected"),
    (
        "tolerance",
        "the numbers lie within the bounds that their columns declare, and nothing promises their bits",
    ),
    ("integrity", "the file is the one that was written; nothing is expected to compare it with"),
    (
        "expected",
        "a claim that has to hold: a run fails if it does not; a claim that is asked may come out in any way",
    ),
    (
        "better, worse, equivalent",
        "a paired comparison with plain over seeds by exact sign-flip tests, adjusted after Holm over all of an item, at 5 %; equivalent within the margin of the item's settings",
    ),
    ("exact", "the value is computed and not sampled: its interval is one point"),
    ("E[s²], Var(s)", "mean square and variance of the target; losses are relative to them"),
];

/// The page of a verified folder; what cannot be read is left out, and the verification says why.
pub(super) fn page(workspace: &Workspace, profile: Profile, dir: &Path, found: &Report) -> Page {
    let manifest = Manifest::read(dir).ok();
    let (provenance, record) = (Provenance::read(dir), RunRecord::read(dir));
    let mut font = String::new();
    let mut items = Vec::new();
    // in the paper's order, then what no item of ours is
    let known = registry::built_in().iter().map(|item| item.id.to_owned());
    let entries = manifest.iter().flat_map(|manifest| &manifest.items);
    let others = entries.clone().map(|(id, _)| id.clone());
    let mut order: Vec<String> = known.collect();
    order.extend(others.filter(|id| !registry::built_in().iter().any(|item| item.id == id)));
    for id in order {
        let Some((_, entry)) = entries.clone().find(|(other, _)| **other == id) else { continue };
        let source = Source { dir, found, id: &id, entry };
        items.push(source.item(profile, provenance.as_ref(), record.as_ref(), &mut font));
    }
    let log = found.outputs.iter().filter(|output| !output.level.passes()).flat_map(Logged::of);
    let claims: Vec<ClaimRow> = found.claims.iter().map(row).collect();
    let cost = record.map_or_else(String::new, |record| {
        format!(
            "The last run took {:.0} s on {} threads ({}).",
            record.seconds, record.jobs, record.isa
        )
    });
    Page {
        profile: profile.name(),
        font,
        verdict: headline(found, items.len()),
        findings: findings(found),
        words: claims.iter().map(|claim| claim.word).collect(),
        items,
        claims,
        // what cannot be read of the settings is said by the run
        gaps: gaps::gaps(workspace, profile).unwrap_or_default(),
        log: log.collect(),
        notes: found.notes.clone(),
        cost,
        speed: speed(workspace),
        glossary: GLOSSARY,
    }
}

/// The comparison with other programs as README has it; nothing where it was not measured.
fn speed(workspace: &Workspace) -> (String, Vec<Vec<String>>) {
    let text = document::peers(workspace).unwrap_or_default();
    let about = text.lines().next().unwrap_or_default().replace('`', "");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let fields =
        |line: &str| line.trim_matches('|').split('|').map(|f| f.trim().to_owned()).collect();
    (about, rows.map(fields).collect())
}

fn headline(found: &Report, items: usize) -> Headline {
    let compared = found.expected_root.is_some();
    let same = found.expected_root.as_ref() == Some(&found.root);
    let (word, class) = match (found.passes(), compared) {
        (false, _) => ("Not reproduced: something differs or an expected claim fails", "bad"),
        (true, true) if same => ("Reproduced, bit for bit", "good"),
        (true, _) => ("Intact; there is no expected output for all of it", "open"),
    };
    let expected: Vec<&Claim> = found.claims.iter().filter(|claim| claim.expected).collect();
    let met = expected.iter().filter(|claim| !claim.breaks()).count();
    let passing = found.outputs.iter().filter(|output| output.level.passes()).count();
    let root = match &found.expected_root {
        Some(root) if *root == found.root => format!("Root {}, as expected.", found.root),
        Some(root) => format!("Root {}, expected {}.", found.root, short(root)),
        None => format!("Root {}; none is expected for these items.", found.root),
    };
    let mut lines = vec![
        format!("{items} items; {passing} of {} outputs pass.", found.outputs.len()),
        format!(
            "{met} of {} expected claims hold; {} more were asked.",
            expected.len(),
            found.claims.len() - expected.len()
        ),
        root,
    ];
    if !found.absent.is_empty() {
        lines.push(format!("Not run, and so not reproduced: {}.", found.absent.join(", ")));
    }
    Headline { word, class, lines, compared }
}

fn findings(found: &Report) -> Vec<Finding> {
    let of = |finding: &crate::commands::findings::Finding| {
        let claim = found.claims.iter().find(|claim| claim.id == finding.claim);
        Finding {
            sentence: finding.sentence.replace("**", ""),
            quantity: finding.quantity,
            item: finding.claim.split('/').next().unwrap_or_default(),
            value: claim.map(|claim| number(claim.value)),
            interval: claim.map(interval).unwrap_or_default(),
            word: claim.map_or("", |claim| claim.judge().word()),
            class: claim.map_or("", |claim| class(claim.judge())),
        }
    };
    FINDINGS.iter().map(of).collect()
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds | Verdict::Narrowly | Verdict::Better | Verdict::Equivalent => "good",
        Verdict::Fails | Verdict::Worse => "bad",
        Verdict::Undecided | Verdict::NotJudged => "open",
    }
}

fn row(claim: &Claim) -> ClaimRow {
    let sign = if claim.side == Side::AtMost { "≤" } else { "≥" };
    let [low, high] = claim.interval;
    let ends = [low, high, claim.value, claim.bound];
    let (least, most) = (largest::least(ends), largest::value(ends));
    let place = |x: f64| {
        let share = if most > least { (x - least) / (most - least) } else { 0.5 };
        (4.0 + 92.0 * share).round()
    };
    ClaimRow {
        id: claim.id.clone(),
        word: claim.judge().word(),
        class: class(claim.judge()),
        kind: if claim.expected { "expected" } else { "asked" },
        statement: claim.statement.clone(),
        value: number(claim.value),
        interval: interval(claim),
        bound: match &claim.comparison {
            None => format!("{sign} {}", number(claim.bound)),
            Some(evidence) => format!("p {}", number(evidence.p_difference)),
        },
        strip: [low, claim.value, high, claim.bound].map(place),
    }
}

/// How far what was found agrees with what is stated.
fn agreement(met: usize, all: usize, asked: usize) -> String {
    match (met, all) {
        (_, 0) => format!("nothing is fixed beforehand, {asked} statements are asked"),
        (1, 1) => "agrees: the one expected claim holds".into(),
        (met, all) if met == all => format!("agrees: all {all} expected claims hold"),
        (0, all) => format!("disagrees: none of {all} expected claims holds"),
        (met, all) => format!("agrees in part: {met} of {all} expected claims hold"),
    }
}

/// Seconds of one thread over the cells that were computed.
fn seconds(record: &ItemRecord) -> String {
    if record.computed == 0 { String::new() } else { format!("{:.1}", record.cell_seconds) }
}

/// How long, on what, and what is promised of the bits.
fn time(record: Option<&ItemRecord>, class: Class) -> String {
    let Some(record) = record else { return String::new() };
    let time = match record.computed {
        0 => "All cells were in the store.".into(),
        _ => format!("{} s of one thread.", seconds(record)),
    };
    let device = record.gpu.as_deref().unwrap_or("the CPU");
    format!("{time} Class {}, on {device}.", class.word())
}

/// Where an item's page is read from.
struct Source<'a> {
    dir: &'a Path,
    found: &'a Report,
    id: &'a str,
    entry: &'a ManifestItem,
}

impl Source<'_> {
    fn item(
        &self,
        profile: Profile,
        provenance: Option<&Provenance>,
        record: Option<&RunRecord>,
        font: &mut String,
    ) -> ItemPage {
        let Self { dir, found, id, entry } = self;
        let own = |claim: &&Claim| claim.id.split('/').next() == Some(*id);
        let claims: Vec<&Claim> = found.claims.iter().filter(own).collect();
        let expected = claims.iter().filter(|claim| claim.expected);
        let (all, met) =
            (expected.clone().count(), expected.filter(|claim| !claim.breaks()).count());
        let outputs: Vec<&OutputReport> =
            found.outputs.iter().filter(|output| output.item == *id).collect();
        let level = outputs.iter().map(|output| output.level).max().unwrap_or(Level::Missing);
        let good = level.passes() && met == all;
        let built_in: Option<&Item> =
            registry::built_in().iter().copied().find(|item| item.id == *id);
        let record = record.and_then(|record| record.items.get(*id));
        let figures = entry.captions.iter().filter_map(|(figure, caption)| {
            let bytes = output::read(&dir.join(format!("figures/{figure}.svg"))).ok()?;
            let Inline { svg, font: own, view } =
                Inline::new(figure, &String::from_utf8_lossy(&bytes));
            *font = own;
            let shown = entry.figures.get(&format!("figures/{figure}.svg"));
            let names = shown.into_iter().flat_map(|shown| &shown.drawn_from);
            let names = names.map(|path| path.rsplit('/').next().unwrap_or(path));
            let from = names.collect::<Vec<_>>().join(", ");
            let steps = (figure == STEPPED).then(|| matrices(dir, STEPS)).flatten();
            let steps = steps.and_then(|matrices| serde_json::to_string(&matrices).ok());
            let (id, caption) = (figure.clone(), caption.clone());
            Some(FigurePart { id, svg, view, caption, from, steps })
        });
        let file = |(path, sha256): (&str, &str)| {
            let level = outputs.iter().find(|output| output.path == path);
            let level = level.map_or("", |output| output.level.word());
            File { path: path.to_owned(), sha256: short(sha256).to_owned(), level }
        };
        ItemPage {
            id: (*id).to_owned(),
            paper: entry.paper.clone(),
            of_paper: built_in.is_some_and(Item::is_of_the_paper),
            claim: entry.claim.clone(),
            level: level.word(),
            agreement: agreement(met, all, claims.len()),
            class: if good { "good" } else { "bad" },
            time: time(record, entry.class(&entry.claims.path)),
            command: format!("icl run {id} --profile {}", profile.name()),
            figures: figures.collect(),
            claims: claims.iter().map(|claim| row(claim)).collect(),
            settings: self.settings(provenance),
            tables: entry.tables.keys().filter_map(|path| Table::read(dir, path)).collect(),
            files: entry.files().map(file).collect(),
            computed: record.map_or(0, |one| one.computed),
            restored: record.map_or(0, |one| one.restored),
            seconds: record.map_or_else(String::new, seconds),
        }
    }

    fn settings(&self, provenance: Option<&Provenance>) -> Vec<Setting> {
        let sources = provenance.and_then(|provenance| provenance.items.get(self.id));
        let values = self.entry.settings.as_object();
        let one = |(name, value): (&String, &serde_json::Value)| {
            let source = sources.and_then(|sources| sources.settings.get(name));
            Setting {
                name: name.clone(),
                value: value.to_string(),
                tag: source.map_or_else(String::new, |source| source.tag.clone()),
                reason: source.map_or_else(String::new, |source| source.reason.clone()),
            }
        };
        values.into_iter().flatten().map(one).collect()
    }
}
