//! An item's settings: one TOML file, every value with its provenance tag and reason.
//!
//! ```toml
//! [steps]
//! smoke = 50            # one value per profile, or `value = ...` for all
//! quick = 500
//! paper = 1000
//! tag = "O"
//! reason = "the curve is flat from 500 on"
//! ```
//!
//! An item that is not of all usual profiles says so at the top: `profiles = ["paper", "table"]`. What `table`
//! does not say is as in `paper`.

use crate::profile::Profile;
use anyhow::anyhow;
use artifact::manifest::SettingProvenance;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a setting comes from; `R` and `O` are paper gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tag {
    /// The abstract says it.
    A,
    /// A figure caption says it.
    C,
    /// Derived by algebra.
    D,
    /// A recollection that no source at hand confirms.
    R,
    /// Our own choice.
    O,
}

/// One setting as it stands in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The value in every profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    smoke: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quick: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paper: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<toml::Value>,
    /// Provenance.
    pub(crate) tag: Tag,
    /// Why it has this value.
    pub(crate) reason: String,
    /// What changes if it is chosen otherwise, for paper gaps, where that is argued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) effect: Option<String>,
    /// Variations of `ext-sensitivity` that measure it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) measured: Vec<String>,
}

impl Entry {
    /// The value in a profile.
    pub(crate) fn at(&self, profile: Profile) -> Option<&toml::Value> {
        let own = match profile {
            Profile::Smoke => &self.smoke,
            Profile::Quick => &self.quick,
            Profile::Table if self.table.is_some() => &self.table,
            Profile::Paper | Profile::Table => &self.paper,
        };
        own.as_ref().or(self.value.as_ref())
    }

    /// Refuses NaN, infinity and absurd counts, wherever they stand: TOML has them, a result cannot.
    fn check_numbers(&self, path: &Path, name: &str) -> anyhow::Result<()> {
        let values = [
            ("value", &self.value),
            ("smoke", &self.smoke),
            ("quick", &self.quick),
            ("paper", &self.paper),
            ("table", &self.table),
        ];
        for (profile, value) in values {
            if name == "seeds"
                && value.as_ref().and_then(toml::Value::as_integer).is_some_and(|n| n < 1)
            {
                return Err(fault(
                    path,
                    &format!("{name}.{profile}"),
                    "less than one",
                    "at least 1",
                ));
            }
            if let Some(value) = value
                && let Some((field, found, expected)) = unfit(value, &format!("{name}.{profile}"))
            {
                return Err(fault(path, &field, &found, &expected));
            }
        }
        Ok(())
    }
}

/// Largest whole number in a settings file.
const LARGEST: i64 = 1 << 24;
/// Most combinations of the entries of all lists with the seeds: an item plans at most so many cells.
const COMBINATIONS: usize = 20_000;

/// The first number in a value that no result can follow from: where it stands, what it is, what may be there.
fn unfit(value: &toml::Value, field: &str) -> Option<(String, String, String)> {
    match value {
        toml::Value::Float(x) if !x.is_finite() => {
            Some((field.to_owned(), x.to_string(), "a finite number".into()))
        }
        toml::Value::Integer(n) if n.unsigned_abs() > LARGEST.unsigned_abs() => {
            Some((field.to_owned(), n.to_string(), format!("at most {LARGEST}")))
        }
        toml::Value::Array(values) => {
            let mut entries = values.iter().enumerate();
            entries.find_map(|(i, value)| unfit(value, &format!("{field}[{i}]")))
        }
        toml::Value::Table(table) => {
            table.iter().find_map(|(name, value)| unfit(value, &format!("{field}.{name}")))
        }
        _ => None,
    }
}

/// Refuses files whose plan would not fit into memory, before anything is planned.
fn check_size(path: &Path, entries: &BTreeMap<String, Entry>) -> anyhow::Result<()> {
    for profile in Profile::ALL {
        let count = |(name, entry): (&String, &Entry)| match entry.at(profile) {
            Some(toml::Value::Array(values)) => values.len().max(1),
            Some(toml::Value::Integer(n)) if name == "seeds" => usize::try_from(*n).unwrap_or(1),
            _ => 1,
        };
        let combinations = entries.iter().map(count).fold(1, usize::saturating_mul);
        if combinations > COMBINATIONS {
            let found = format!("{combinations} combinations with the seeds ({})", profile.name());
            let expected = format!("at most {COMBINATIONS}");
            return Err(fault(path, "lists", &found, &expected));
        }
    }
    Ok(())
}

/// A settings file.
#[derive(Debug, Clone)]
pub(crate) struct SettingsFile {
    path: PathBuf,
    /// The profiles of the item.
    profiles: Vec<Profile>,
    /// Settings by name.
    pub(crate) entries: BTreeMap<String, Entry>,
}

impl SettingsFile {
    /// Reads and checks the form of a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        Self::parse(path, &artifact::output::read(path)?)
    }

    /// The settings in `bytes`; `path` is for messages.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| fault(path, "encoding", &error.to_string(), "UTF-8 text"))?;
        let mut document: toml::Table = toml::from_str(text)
            .map_err(|error| fault(path, "syntax", error.to_string().trim_end(), "TOML"))?;
        let profiles = match document.remove(PROFILES) {
            Some(names) => profiles(names).map_err(|found| {
                fault(path, PROFILES, &found, "a list of smoke, quick, paper, table")
            })?,
            None => Profile::USUAL.to_vec(),
        };
        let entries: BTreeMap<String, Entry> =
            serde_path_to_error::deserialize(toml::Value::Table(document)).map_err(|error| {
                let field = error.path().to_string();
                let found = error.inner().message().to_owned();
                fault(path, &field, &found, "value (or smoke, quick, paper), tag and reason")
            })?;
        for (name, entry) in &entries {
            let missing = profiles.iter().find(|profile| entry.at(**profile).is_none());
            if let Some(profile) = missing {
                let expected = "`value`, or one of smoke, quick and paper each";
                return Err(fault(
                    path,
                    name,
                    &format!("no value for {}", profile.name()),
                    expected,
                ));
            }
            if entry.value.is_some()
                && [&entry.smoke, &entry.quick, &entry.paper].iter().any(|own| own.is_some())
            {
                return Err(fault(path, name, "both `value` and a profile's own", "one of them"));
            }
            entry.check_numbers(path, name)?;
        }
        check_size(path, &entries)?;
        Ok(Self { path: path.to_owned(), profiles, entries })
    }

    /// Whether the item is of a profile.
    pub(crate) fn is_of(&self, profile: Profile) -> bool {
        self.profiles.contains(&profile)
    }

    /// The typed settings of a profile; unknown and missing names are refused by name.
    pub(crate) fn typed<S: DeserializeOwned>(&self, profile: Profile) -> anyhow::Result<S> {
        let value =
            |(name, entry): (&String, &Entry)| Some((name.clone(), entry.at(profile)?.clone()));
        let table: toml::Table = self.entries.iter().filter_map(value).collect();
        serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
            let field = error.path().to_string();
            let expected = format!("a setting of this item, for profile {}", profile.name());
            fault(&self.path, &field, error.inner().message(), &expected)
        })
    }

    /// A setting that has the right type and a wrong value.
    pub(crate) fn refuse(&self, field: &str, found: &str, expected: &str) -> anyhow::Error {
        fault(&self.path, field, found, expected)
    }

    /// Where every setting comes from.
    pub(crate) fn sources(&self) -> BTreeMap<String, SettingProvenance> {
        let source = |(name, entry): (&String, &Entry)| {
            let Entry { reason, effect, .. } = entry.clone();
            (name.clone(), SettingProvenance { tag: format!("{:?}", entry.tag), reason, effect })
        };
        self.entries.iter().map(source).collect()
    }

    /// The chosen values as JSON, for cell specifications and the manifest.
    pub(crate) fn values(&self, profile: Profile) -> serde_json::Value {
        let value = |(name, entry): (&String, &Entry)| {
            let value = serde_json::to_value(entry.at(profile)?).ok()?;
            Some((name.clone(), value))
        };
        serde_json::Value::Object(self.entries.iter().filter_map(value).collect())
    }
}

/// The entry that is no setting.
const PROFILES: &str = "profiles";

/// The profiles that a list names; otherwise what is found.
fn profiles(names: toml::Value) -> Result<Vec<Profile>, String> {
    let found = names.to_string();
    let profiles: Vec<Profile> = names.try_into().map_err(|_| found)?;
    if profiles.is_empty() { Err("an empty list".into()) } else { Ok(profiles) }
}

fn fault(path: &Path, field: &str, found: &str, expected: &str) -> anyhow::Error {
    anyhow!("{}: {field}: found {found}, expected {expected}; correct the file", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Two {
        steps: usize,
        task: String,
    }

    fn read(text: &str) -> anyhow::Result<Two> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("item.toml");
        std::fs::write(&path, text).unwrap();
        SettingsFile::read(&path)?.typed(Profile::Quick)
    }

    const TASK: &str = "[task]\nvalue = \"linear\"\ntag = \"R\"\nreason = \"r\"\n";

    #[test]
    fn values_are_chosen_by_profile() {
        let text =
            format!("{TASK}[steps]\nsmoke = 1\nquick = 2\npaper = 3\ntag = \"O\"\nreason = \"r\"");
        let two = read(&text).unwrap();
        assert_eq!((two.steps, two.task.as_str()), (2, "linear"));
    }

    #[test]
    fn faults_name_file_field_found_and_expected() {
        for (text, parts) in [
            ("[steps]\nvalue = \"x\"\ntag = \"O\"\nreason = \"r\"", ["steps", "string \"x\""]),
            ("[steps]\nvalue = -3\ntag = \"O\"\nreason = \"r\"", ["steps", "-3"]),
            ("[stepz]\nvalue = 3\ntag = \"O\"\nreason = \"r\"", ["stepz", "unknown field"]),
            ("[steps]\nvalue = 3\ntag = \"X\"\nreason = \"r\"", ["steps.tag", "X"]),
            ("[steps]\nvalue = 3\nvalues = 4\ntag = \"O\"\nreason = \"r\"", ["steps", "values"]),
            ("[steps]\nquick = 3\ntag = \"O\"\nreason = \"r\"", ["steps", "no value for smoke"]),
            ("[steps\n", ["syntax", "line 5"]),
            ("[profiles]\nquick = 3", ["profiles", "quick = 3"]),
        ] {
            let message = read(&format!("{TASK}{text}")).unwrap_err().to_string();
            assert!(message.contains("item.toml") && message.contains("expected"), "{message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_wherever_they_stand() {
        for (text, field) in [
            ("[x]\nvalue = nan\n", "x.value"),
            ("[x]\nsmoke = 1.0\nquick = 2.0\npaper = -inf\n", "x.paper"),
            ("[x]\nvalue = [1.0, [2.0, inf]]\n", "x.value[1][1]"),
            ("[x]\nvalue = { relative_loss = nan, n = 1 }\n", "x.value.relative_loss"),
        ] {
            let message = read(&format!("{text}tag = \"O\"\nreason = \"r\"\n")).unwrap_err();
            let message = message.to_string();
            assert!(message.contains("item.toml") && message.contains(field), "{message}");
        }
    }

    #[test]
    fn absurd_counts_are_refused_before_anything_is_planned() {
        let rest = "tag = \"O\"\nreason = \"r\"\n";
        let long = format!("[x]\nvalue = {:?}\n{rest}", vec![1; 1000]);
        let two = format!("{long}{}", long.replacen("[x]", "[y]", 1));
        for (text, field) in [
            (format!("[x]\nvalue = 1000000000000\n{rest}"), "x.value"),
            (format!("[x]\nvalue = -9223372036854775808\n{rest}"), "x.value"),
            (format!("[seeds]\nvalue = 1000000\n{rest}"), "lists"),
            (two, "lists"),
        ] {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(field) && message.contains("at most"), "{message}");
        }
    }
}
