//! `icl bless`: makes the present outputs the expected ones, with a reason.

use crate::cli::BlessArguments;
use crate::console::say;
use crate::costs::{COSTS, Costs, calibration_ms};
use crate::outcome::Outcome;
use crate::profile::Profile;
use crate::record::{RunRecord, SOURCE_DIGEST};
use crate::registry;
use crate::workspace::{FIGURES_OF, Workspace};
use anyhow::{Context as _, bail};
use artifact::claim::Claim;
use artifact::digest::{sha256, short};
use artifact::manifest::{MANIFEST, Manifest, ManifestItem, SUMS, canonical_json};
use artifact::output;
use artifact::table::{ColumnType, Schema, Table};
use artifact::verify::Expected;
use icl_numerics::largest;
use std::path::Path;

/// Runs the command.
pub(crate) fn bless(workspace: &Workspace, arguments: &BlessArguments) -> anyhow::Result<Outcome> {
    if arguments.reason.trim().is_empty() {
        bail!("--reason: found nothing, expected why the expected outputs change");
    }
    for id in &arguments.ids {
        registry::find(workspace, id)?;
    }
    let out = workspace.out(arguments.out.as_deref());
    let profiles: Vec<Profile> = Profile::ALL
        .into_iter()
        .filter(|p| arguments.profile.is_none_or(|wanted| wanted == *p))
        .filter(|p| out.join(p.name()).join(SUMS).exists())
        .collect();
    if profiles.is_empty() {
        bail!("{}: found no outputs of a run, expected some; run `icl run` first", out.display());
    }
    let mut changed = Vec::new();
    for profile in profiles {
        changed.extend(bless_profile(workspace, arguments, &out.join(profile.name()), profile)?);
    }
    if !changed.is_empty() {
        note_in_changelog(workspace, &changed, &arguments.reason)?;
    }
    say!("{} items changed; expected outputs are in figures/ and data/", changed.len());
    Ok(Outcome::Reproduced)
}

/// Blesses one profile; returns the changed items as `id (profile)`.
fn bless_profile(
    workspace: &Workspace,
    arguments: &BlessArguments,
    dir: &Path,
    profile: Profile,
) -> anyhow::Result<Vec<String>> {
    let present = Manifest::read(dir)?;
    let record = RunRecord::read(dir).with_context(|| {
        format!("{}: not a run's record; run `icl run` again", dir.join("run.json").display())
    })?;
    refuse_unfit(dir, profile, arguments, &present, &record)?;
    let expected = workspace.expected(profile);
    let mut manifest = match Manifest::read(&expected.figures) {
        Ok(earlier) => earlier,
        Err(_) => crate::outputs::empty_manifest(profile),
    };
    let removed: Vec<ManifestItem> = manifest
        .items
        .extract_if(.., |id, _| registry::find(workspace, id).is_err())
        .map(|(_, item)| item)
        .collect();
    output::remove_leftovers(&expected.data);
    output::remove_leftovers(&expected.figures);
    for item in &removed {
        remove_old(&expected, item, None)?;
    }
    manifest.generator.clone_from(&present.generator);
    let mut changed = Vec::new();
    for (id, item) in present.items.iter().filter(|(id, _)| arguments.wants(id)) {
        let before = manifest.items.insert(id.clone(), item.clone());
        if before.as_ref() != Some(item) {
            print_change(id, profile, dir, &expected, before.as_ref(), item)?;
            if before.is_some() {
                changed.push(format!("{id} ({})", profile.name()));
            }
        }
        copy_files(dir, &expected, id, item, before.as_ref(), profile)?;
    }
    output::create_dir(&expected.figures)?;
    output::write_atomically(&expected.figures.join(MANIFEST), &manifest.to_json()?)?;
    output::write_atomically(&expected.figures.join(SUMS), manifest.sums()?.as_bytes())?;
    record_costs(workspace, arguments, &record, profile)?;
    say!("{} root {}", profile.name(), sha256(manifest.sums()?.as_bytes()));
    Ok(changed)
}

fn copy_files(
    dir: &Path,
    expected: &Expected,
    id: &str,
    item: &ManifestItem,
    before: Option<&ManifestItem>,
    profile: Profile,
) -> anyhow::Result<()> {
    let mut data = Vec::new();
    for (path, digest) in item.files() {
        let bytes = output::read(&dir.join(path))?;
        if sha256(&bytes) != digest {
            bail!(
                "{}: found SHA-256 {}, expected {digest}; run `icl run {id}` again",
                dir.join(path).display(),
                sha256(&bytes)
            );
        }
        if path.starts_with("data/") {
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            data.push((name, bytes));
        } else if profile == FIGURES_OF {
            output::create_dir(&expected.figures)?;
            output::write_atomically(&expected.path(path), &bytes)?;
        }
    }
    if let Some(before) = before {
        remove_old(expected, before, Some(item))?;
    }
    output::create_dir(&expected.data)?;
    let files = data.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let own = |path: &str| path.strip_prefix(&format!("data/{id}/")).map(str::to_owned);
    let listed = before.into_iter().chain([item]).flat_map(ManifestItem::files);
    let ours = listed.filter_map(|(path, _)| own(path)).collect();
    Ok(output::folder::replace_dir(&expected.data.join(id), &files, &ours)?)
}

/// Removes expected files that only the earlier entry names, if they are as it says.
fn remove_old(
    expected: &Expected,
    before: &ManifestItem,
    after: Option<&ManifestItem>,
) -> anyhow::Result<()> {
    let kept = |path: &str| after.is_some_and(|item| item.files().any(|(p, _)| p == path));
    for (path, digest) in before.files().filter(|(path, _)| !kept(path)) {
        let full = expected.path(path);
        let own = output::read(&full).is_ok_and(|bytes| sha256(&bytes) == digest);
        let folder = if path.starts_with("data/") { &expected.data } else { &expected.figures };
        if let (true, Some((_, rest))) = (own, path.split_once('/')) {
            output::folder::remove_file(folder, rest)?;
        }
    }
    Ok(())
}

/// Only undamaged outputs of this source whose expected claims hold can become expected ones.
fn refuse_unfit(
    dir: &Path,
    profile: Profile,
    arguments: &BlessArguments,
    present: &Manifest,
    record: &RunRecord,
) -> anyhow::Result<()> {
    // against nothing expected, only what is wrong in itself is found
    let nothing = dir.join("nothing-is-expected-here");
    let expected = Expected { data: nothing.clone(), figures: nothing, keeps_figures: false };
    let report = artifact::verify::verify(dir, profile.name(), &expected);
    if let Some(bad) = report.outputs.iter().find(|output| !output.level.passes()) {
        let (level, path) = (bad.level.word(), dir.join(&bad.path));
        bail!("{}: {level}: {}; run `icl run` again", path.display(), bad.detail());
    }
    let on_gpu = |id: &&String| record.items.get(*id).is_some_and(|item| item.gpu.is_some());
    if let Some(id) = present.items.keys().filter(|id| arguments.wants(id)).find(on_gpu) {
        bail!(
            "{}: {id}: found outputs in which a GPU has a part, expected the processor's alone; run `icl run {id} \
             --profile {}`",
            dir.display(),
            profile.name()
        );
    }
    for id in present.items.keys().filter(|id| arguments.wants(id)) {
        let found = record.items.get(id).map_or("none", |item| item.source_digest.as_str());
        if found != SOURCE_DIGEST {
            bail!(
                "{}: {id}: found outputs of source {}, expected {}; run `icl run {id} --profile {}` again",
                dir.display(),
                short(found),
                short(SOURCE_DIGEST),
                profile.name()
            );
        }
    }
    let own = |claim: &&Claim| claim.id.split('/').next().is_some_and(|id| arguments.wants(id));
    match report.claims.iter().filter(own).find(|claim| claim.breaks()) {
        Some(claim) => bail!(
            "claim {}: found {}, expected it to hold: {}; mend the cause before it is expected",
            claim.id,
            claim.judge().word(),
            claim.statement
        ),
        None => Ok(()),
    }
}

/// Old and new digests, and the largest relative change of a number.
fn print_change(
    id: &str,
    profile: Profile,
    dir: &Path,
    expected: &Expected,
    before: Option<&ManifestItem>,
    item: &ManifestItem,
) -> anyhow::Result<()> {
    say!("{id} ({})", profile.name());
    for (path, digest) in item.files() {
        let old = before.and_then(|b| b.files().find(|(p, _)| *p == path).map(|(_, d)| d));
        if old == Some(digest) {
            continue;
        }
        let change = match (item.tables.get(path), old) {
            (Some(entry), Some(_)) => {
                let schema: Schema =
                    entry.columns.iter().map(|c| (c.name.clone(), c.kind)).collect();
                largest_change(&schema, &expected.path(path), &dir.join(path))?
            }
            _ => String::new(),
        };
        say!("  {} -> {} {path} {change}", old.map_or("none", short), short(digest));
    }
    Ok(())
}

fn largest_change(schema: &Schema, old: &Path, new: &Path) -> anyhow::Result<String> {
    let read = |path: &Path| -> anyhow::Result<Table> {
        Ok(Table::from_csv(&path.display().to_string(), schema, &output::read(path)?)?)
    };
    let (Ok(old), new) = (read(old), read(new)?) else {
        return Ok("other columns".into());
    };
    if old.rows() != new.rows() {
        return Ok(format!("{} -> {} rows", old.rows(), new.rows()));
    }
    let mut largest = (0.0, String::new());
    for (name, _) in schema.iter().filter(|(_, kind)| *kind == ColumnType::Float) {
        for (row, (a, b)) in old.floats(name)?.iter().zip(new.floats(name)?).enumerate() {
            let change = (b - a).abs() / largest::at_least(a.abs(), 1e-300);
            if change > largest.0 {
                largest = (change, format!("row {}, column `{name}`: {a} -> {b}", row + 1));
            }
        }
    }
    Ok(format!("largest change {}", largest.1))
}

/// Adds the seconds of blessed items to the costs, of those that the run computed whole. They are in the unit of
/// the host that measured the first: others' costs stay true.
fn record_costs(
    workspace: &Workspace,
    arguments: &BlessArguments,
    run: &RunRecord,
    profile: Profile,
) -> anyhow::Result<()> {
    let mut costs = Costs::read(workspace);
    let calibration = calibration_ms()?;
    if costs.calibration_ms == 0.0 {
        costs.calibration_ms = (calibration * 1000.0).round() / 1000.0;
    }
    let unit = costs.calibration_ms / calibration;
    for (id, record) in run.items.iter().filter(|(id, _)| arguments.wants(id)) {
        if record.restored == 0 {
            // cells' seconds are of single threads; the unit is two of them
            let seconds = (unit * record.cell_seconds / 2.0 * 100.0).round() / 100.0;
            costs.items.entry(id.clone()).or_default().insert(profile.name().into(), seconds);
        }
    }
    costs.items.retain(|id, _| registry::find(workspace, id).is_ok());
    Ok(output::write_atomically(&workspace.path(COSTS), &canonical_json(&costs)?)?)
}

/// Writes the reason under `### Hash-breaking` of the changelog's unreleased part.
fn note_in_changelog(
    workspace: &Workspace,
    changed: &[String],
    reason: &str,
) -> anyhow::Result<()> {
    const HEADING: &str = "### Hash-breaking\n";
    let path = workspace.path("CHANGELOG.md");
    let text = String::from_utf8_lossy(&output::read(&path)?).into_owned();
    let Some(place) = text.find(HEADING) else {
        bail!(
            "{}: found no `### Hash-breaking`, expected it under `## Unreleased`; add the heading",
            path.display()
        );
    };
    let (before, after) = text.split_at(place + HEADING.len());
    let line = format!("\n- {}: {}", changed.join(", "), reason.trim());
    Ok(output::write_atomically(&path, format!("{before}{line}{after}").as_bytes())?)
}
