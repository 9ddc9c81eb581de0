//! The table of the paper's gaps: every setting of an item that answers a picture or table of the paper and that no
//! source confirms, with what another choice changes. That is measured, by variations of `ext-sensitivity` that the
//! settings file names and whose numbers are read from its expected table, or argued in the settings file.

use crate::items::ext_sensitivity::{self, settings::BASE};
use crate::profile::Profile;
use crate::registry;
use crate::settings::{Entry, SettingsFile, Tag};
use crate::workspace::Workspace;
use artifact::output;
use artifact::table::Table;
use icl_numerics::order;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One choice, for one reason, of one or several items.
#[derive(Serialize)]
pub(super) struct Gap {
    pub(super) setting: String,
    /// What sources say of it.
    pub(super) source: &'static str,
    pub(super) value: String,
    pub(super) reason: String,
    /// What another choice changes.
    pub(super) effect: String,
    pub(super) items: Vec<&'static str>,
}

/// The table, as text.
pub(super) fn table(workspace: &Workspace) -> anyhow::Result<String> {
    let mut out = String::from(
        "| setting | source says | we chose (paper profile) | why | effect of another choice | items |\n\
         |---|---|---|---|---|---|\n",
    );
    for Gap { setting, source, value, reason, effect, items } in gaps(workspace, Profile::Paper)? {
        let value = value.replace('|', "\\|");
        let items: Vec<String> = items.iter().map(|item| format!("`{item}`")).collect();
        let items = items.join(", ");
        writeln!(out, "| `{setting}` | {source} | `{value}` | {reason} | {effect} | {items} |")?;
    }
    Ok(out)
}

/// Every gap at a profile; the same choice for the same reason is one.
pub(super) fn gaps(workspace: &Workspace, profile: Profile) -> anyhow::Result<Vec<Gap>> {
    let measured = Measured::read(workspace);
    let mut gaps: BTreeMap<[String; 4], Gap> = BTreeMap::new();
    for item in registry::built_in().iter().filter(|item| item.is_of_the_paper()) {
        let file = SettingsFile::read(&workspace.settings(item.id))?;
        for (setting, entry) in &file.entries {
            let Some(source) = says(entry.tag) else { continue };
            let value = entry.at(profile).map(ToString::to_string).unwrap_or_default();
            let value = value.replace('\n', " ");
            let Some(effect) = effect(entry, &measured)? else {
                let expected = "`effect`, or `measured` with variations of ext-sensitivity";
                return Err(file.refuse(setting, "a paper gap without an effect", expected));
            };
            let (setting, reason) = (setting.clone(), entry.reason.clone());
            let key = [setting.clone(), value.clone(), reason.clone(), effect.clone()];
            let gap = Gap { setting, source, value, reason, effect, items: Vec::new() };
            gaps.entry(key).or_insert(gap).items.push(item.id);
        }
    }
    Ok(gaps.into_values().collect())
}

/// What sources say of a setting with this tag; none for one that they confirm or that follows.
fn says(tag: Tag) -> Option<&'static str> {
    match tag {
        Tag::R => Some("recollected, unconfirmed"),
        Tag::O => Some("nothing"),
        Tag::A | Tag::C | Tag::D => None,
    }
}

/// What is argued, then what is measured; none if neither is given.
fn effect(entry: &Entry, measured: &Measured) -> anyhow::Result<Option<String>> {
    let mut parts: Vec<String> = entry.effect.iter().cloned().collect();
    for variation in &entry.measured {
        parts.push(measured.sentence(variation)?);
    }
    Ok((!parts.is_empty()).then(|| parts.join("; ")))
}

/// One comparison of a variation.
struct Row {
    variation: String,
    setting: String,
    plain: f64,
    difference: f64,
    word: String,
}

/// The expected table of `ext-sensitivity`; none before it is blessed in this form.
struct Measured {
    rows: Option<Vec<Row>>,
}

impl Measured {
    fn read(workspace: &Workspace) -> Self {
        let path = workspace.expected(Profile::Paper).data.join("ext-sensitivity/gaps.csv");
        let rows = output::read(&path).ok().and_then(|bytes| {
            let schema = ext_sensitivity::outputs::gaps_schema();
            rows(&Table::from_csv("gaps", &schema, &bytes).ok()?).ok()
        });
        Self { rows }
    }

    /// What a variation did to plain's loss, if it changed the layer, and to the words of comparisons, beside the
    /// base's words where they are others.
    fn sentence(&self, variation: &str) -> anyhow::Result<String> {
        let Some(rows) = &self.rows else {
            return Ok(format!("`{variation}` of ext-sensitivity, which is not blessed yet"));
        };
        let of = |name: &str| rows.iter().filter(|row| row.variation == name).collect::<Vec<_>>();
        let (own, base) = (of(variation), of(BASE));
        anyhow::ensure!(!own.is_empty(), "ext-sensitivity: found no variation `{variation}`");
        let mean =
            |rows: &[&Row]| order::mean(&rows.iter().map(|row| row.plain).collect::<Vec<_>>());
        let mut text = format!("`{variation}`:");
        if let (Some(here), Some(there)) = (mean(&own), mean(&base))
            && here != there
        {
            _ = write!(text, " plain's loss {here:.3} for {there:.3},");
        }
        for row in own {
            let kind = |setting: &str| setting.split(':').next().unwrap_or_default().to_owned();
            let same = base.iter().find(|other| kind(&other.setting) == kind(&row.setting));
            let percent = 100.0 * row.difference / row.plain;
            _ = write!(text, " {} {} ({percent:+.1} %)", kind(&row.setting), row.word);
            match same.filter(|other| other.word != row.word) {
                Some(other) => _ = write!(text, " for {},", other.word),
                None => text.push(','),
            }
        }
        Ok(text.trim_end_matches(',').to_owned())
    }
}

fn rows(table: &Table) -> anyhow::Result<Vec<Row>> {
    let [variations, settings, words] =
        ["variation", "setting", "word"].map(|name| table.texts(name));
    let (plain, differences) = (table.floats("plain")?, table.floats("difference")?);
    let texts = variations?.into_iter().zip(settings?).zip(words?);
    let rows = texts.zip(plain).zip(differences);
    Ok(rows
        .map(|((((variation, setting), word), plain), difference)| Row {
            variation,
            setting,
            plain,
            difference,
            word,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gap_of_the_paper_has_an_effect_and_names_variations_that_exist() {
        let workspace = Workspace::find(None).unwrap();
        let sensitivity = SettingsFile::read(&workspace.settings("ext-sensitivity")).unwrap();
        for item in registry::built_in().iter().filter(|item| item.is_of_the_paper()) {
            let file = SettingsFile::read(&workspace.settings(item.id)).unwrap();
            for (name, entry) in &file.entries {
                let place = format!("{}: {name}", item.id);
                if says(entry.tag).is_some() {
                    let some = entry.effect.is_some() || !entry.measured.is_empty();
                    assert!(some, "{place}: no effect");
                }
                for variation in &entry.measured {
                    assert!(sensitivity.entries.contains_key(variation), "{place}: {variation}");
                }
            }
        }
    }

    #[test]
    fn a_sentence_names_losses_and_the_words_that_differ_from_the_bases() {
        let row = |variation: &str, setting: &str, plain, difference, word: &str| Row {
            variation: variation.into(),
            setting: setting.into(),
            plain,
            difference,
            word: word.into(),
        };
        let measured = Measured {
            rows: Some(vec![
                row(BASE, "negative:m=3", 0.5, -0.05, "better"),
                row(BASE, "augmented", 0.5, 0.001, "equivalent"),
                row("many", "negative:m=3", 0.4, 0.04, "worse"),
                row("many", "augmented", 0.4, 0.0, "equivalent"),
                row("one", "negative:m=1", 0.5, -0.01, "better"),
            ]),
        };
        assert_eq!(
            measured.sentence("many").unwrap(),
            "`many`: plain's loss 0.400 for 0.500, negative worse (+10.0 %) for better, augmented equivalent (+0.0 %)"
        );
        assert_eq!(measured.sentence("one").unwrap(), "`one`: negative better (-2.0 %)");
        assert!(measured.sentence("none").is_err());
    }
}
