//! `icl document`: renews the generated parts of the documents, or says that they are stale.
//!
//! A part stands between `<!-- generated: NAME -->` and `<!-- end -->` and is a function of the
//! registries, the settings and the expected outputs.

use super::expected::expected_claims;
use super::findings::findings;
use super::roofline::{ROOFLINE, Roofline, Row};
use crate::cli::DocumentArguments;
use crate::console::say;
use crate::costs::Costs;
use crate::outcome::Outcome;
use crate::profile::Profile;
use crate::registry;
use crate::workspace::Workspace;
use anyhow::{Context as _, bail};
use artifact::claim::Claim;
use artifact::digest::{sha256, short};
use artifact::manifest::{Manifest, ManifestItem};
use artifact::output;
use dual_model::feature_map;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "ARTIFACT.md",
    "CLAIMS.md",
    "GAPS.md",
    "ARCHITECTURE.md",
    "docs/theory.md",
    "figures/paper/README.md",
    "figures/paper/paper.tex",
];
/// Where the comparison with other programs stands; `just bench-peers` writes it.
const PEERS: &str = "benches/peers/results.json";
const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// Runs the command.
pub(crate) fn document(
    workspace: &Workspace,
    arguments: &DocumentArguments,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Reproduced;
    for name in DOCUMENTS {
        let path = workspace.path(name);
        let old = String::from_utf8_lossy(&output::read(&path)?).into_owned();
        let new = renew(workspace, name, &old)?;
        if new == old {
            continue;
        }
        if arguments.check {
            say!("{name} is stale; `icl document` renews it");
            outcome = Outcome::Differs;
        } else {
            output::write_atomically(&path, new.as_bytes())?;
            say!("renewed {name}");
        }
    }
    Ok(outcome)
}

/// The document with every generated part made anew.
fn renew(workspace: &Workspace, name: &str, text: &str) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        let (before, marked) = rest.split_at(begin);
        let Some((part, after)) = marked[BEGIN.len()..].split_once(" -->") else {
            bail!("{name}: found `{BEGIN}` without ` -->`, expected a part's name; correct it");
        };
        let Some(end) = after.find(END) else {
            bail!("{name}: part `{part}`: found no `{END}`, expected it after the part; add it");
        };
        let content = match part {
            "findings" => findings(workspace)?,
            "items" => items(workspace)?,
            "claims" => super::claims::all(workspace)?,
            "summary" => super::claims::summary(workspace)?,
            "gallery" => super::gallery::gallery(workspace)?,
            "fragments" => super::gallery::fragments(workspace)?,
            "thumbnails" => super::gallery::thumbnails(workspace)?,
            "gaps" => super::gaps::table(workspace)?,
            "costs" => costs(workspace),
            "peers" => peers(workspace)?,
            "roofline" => roofline(workspace)?,
            "feature-maps" => feature_maps(),
            other => bail!(
                "{name}: found part `{other}`, expected findings, items, thumbnails, gallery, fragments, claims, summary, gaps, \
                 costs, peers, roofline or feature-maps"
            ),
        };
        write!(out, "{before}{BEGIN}{part} -->\n{content}{END}")?;
        rest = &after[end + END.len()..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Theory: id, features, variance, options, source.
fn feature_maps() -> String {
    let code = |text: &str| match text {
        "" => "-".to_owned(),
        text => format!("`{}`", text.replace('|', "\\|")),
    };
    let mut out = String::from(
        "| id | features of `x` | variance of `phi(x) . phi(y)` | options | source |\n|---|---|---|---|---|\n",
    );
    for map in feature_map::ALL {
        let (id, equation, variance) = (code(map.id), code(map.equation), code(map.variance));
        let options = if map.options.is_empty() { "-" } else { map.options };
        _ = writeln!(out, "| {id} | {equation} | {variance} | {options} | {} |", map.source);
    }
    out
}

/// README: item, paper, minutes, claims; the level where it is not that of bits.
fn items(workspace: &Workspace) -> anyhow::Result<String> {
    let costs = Costs::read(workspace);
    let manifest = Manifest::read(&workspace.expected(Profile::Paper).figures).ok();
    let mut out = String::from(
        "| item | paper | minutes | expected claims met | asked |\n|---|---|---|---|---|\n",
    );
    for item in registry::built_in() {
        let id = item.id;
        let minutes = costs.minutes(id, Profile::Paper).map_or("?".into(), |m| match m {
            m if m < 0.05 => "< 0.1".to_owned(),
            m => format!("{m:.1}"),
        });
        let entry = manifest.as_ref().and_then(|manifest| manifest.items.get(id));
        let claims = expected_claims(workspace, id)?;
        let good = |claim: &&Claim| claim.verdict.is_met();
        let of: Vec<&Claim> = claims.iter().filter(|claim| claim.expected).collect();
        let met = match of.len() {
            0 => "-".into(),
            n => format!("{} of {n}", of.iter().filter(|claim| good(claim)).count()),
        };
        let level = match entry.map(|entry| level(workspace, entry)) {
            Some("bits") => String::new(),
            Some(level) => format!(" ({level})"),
            None => " (not blessed)".to_owned(),
        };
        writeln!(
            out,
            "| [`{id}`](figures/paper/README.md#{id}){level} | {} | {minutes} | {met} | {} |",
            item.paper,
            words(&claims)
        )?;
    }
    Ok(out)
}

/// The level that a run has to reach: bits where every table is exact and every expected file is there as its
/// manifest says.
fn level(workspace: &Workspace, entry: &ManifestItem) -> &'static str {
    let expected = workspace.expected(Profile::Paper);
    let intact = |(path, digest): (&str, &str)| {
        output::read(&expected.path(path)).is_ok_and(|bytes| sha256(&bytes) == digest)
    };
    if !entry.files().all(intact) {
        "expected files are damaged"
    } else if entry.tables.values().all(|table| table.class.promises_bits()) {
        "bits"
    } else {
        "tolerance"
    }
}

/// How many comparisons and other tests ended with which word.
fn words(claims: &[Claim]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for claim in claims.iter().filter(|claim| !claim.expected) {
        *counts.entry(claim.verdict.word()).or_default() += 1;
    }
    let parts: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
    if parts.is_empty() { "-".into() } else { parts.join(", ") }
}

/// ARTIFACT: measured minutes by profile, and the expected roots.
fn costs(workspace: &Workspace) -> String {
    let costs = Costs::read(workspace);
    let mut out = String::from("| | smoke | quick | paper |\n|---|---|---|---|\n");
    let total = |profile: Profile| -> f64 {
        registry::built_in().iter().filter_map(|item| costs.minutes(item.id, profile)).sum()
    };
    let [smoke, quick, paper] = Profile::EXPECTED.map(total);
    let _ = writeln!(out, "| minutes | {smoke:.1} | {quick:.1} | {paper:.0} |");
    let root = |profile: Profile| {
        let mut manifest = Manifest::read(&workspace.expected(profile).figures).ok();
        // a user's own items are no part of what is documented
        if let Some(manifest) = &mut manifest {
            manifest.items.retain(|id, _| registry::built_in().iter().any(|item| item.id == id));
        }
        let sums = manifest.and_then(|manifest| manifest.sums().ok());
        sums.map_or("none".into(), |sums| short(&sha256(sums.as_bytes())).to_owned())
    };
    let [smoke, quick, paper] = Profile::EXPECTED.map(root);
    let _ = writeln!(out, "| expected root | `{smoke}…` | `{quick}…` | `{paper}…` |");
    out
}

/// README: the measured ratios, from the results file.
pub(super) fn peers(workspace: &Workspace) -> anyhow::Result<String> {
    let path = workspace.path(PEERS);
    let results: serde_json::Value = serde_json::from_slice(&output::read(&path)?)
        .with_context(|| format!("{}: not JSON; run `just bench-peers`", path.display()))?;
    let mut out = format!(
        "One run of `just bench-peers`, {} threads, {}, medians of {} rounds, ms per step (ratio to ours):\n\n\
         | step | icl | PyTorch eager | torch.compile | JAX jit |\n|---|---|---|---|---|\n",
        results["threads"],
        results["processor"].as_str().unwrap_or("?"),
        results["rounds"]
    );
    for row in results["rows"].as_array().into_iter().flatten() {
        let ms = |peer: &str| row["ms"][peer].as_f64().unwrap_or(f64::NAN);
        let variant = row["variant"].as_str().unwrap_or("?");
        let name = match row["d_r"].as_u64() {
            Some(d_r) if d_r > 0 => format!("{variant} features, d_r = {d_r}"),
            _ => format!("exact {variant}"),
        };
        let peer = |peer: &str| format!("{:.2} ({:.1}x)", ms(peer), ms(peer) / ms("icl"));
        writeln!(
            out,
            "| {name} | {:.3} | {} | {} | {} |",
            ms("icl"),
            peer("torch eager"),
            peer("torch compiled"),
            peer("jax")
        )?;
    }
    Ok(out)
}

/// ARCHITECTURE: the measured floor of a step.
fn roofline(workspace: &Workspace) -> anyhow::Result<String> {
    let path = workspace.path(ROOFLINE);
    let roofline: Roofline = serde_json::from_slice(&output::read(&path)?).with_context(|| {
        format!("{}: not a measurement; run `icl bench roofline --write`", path.display())
    })?;
    let mut out = format!(
        "{} threads of {}, {}: {:.0} G multiply-adds/s, {:.1} G exponentials/s at best.\n\n\
         | step | multiply-adds (M) | exponentials (M) | floor (ms) | measured (ms) | reached |\n\
         |---|---|---|---|---|---|\n",
        roofline.threads, roofline.processor, roofline.isa, roofline.fma_rate, roofline.exp_rate
    );
    for row in &roofline.rows {
        let part = 100.0 * row.floor_ms / row.measured_ms;
        let Row { variant, fma, exp, floor_ms, measured_ms } = row;
        writeln!(
            out,
            "| {variant} | {fma:.1} | {exp:.2} | {floor_ms:.3} | {measured_ms:.3} | {part:.0} % |"
        )?;
    }
    Ok(out)
}
