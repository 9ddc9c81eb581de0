//! Options of a method, `name=value,name=value`.

use crate::RegistryError;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// Options not read yet.
#[derive(Debug, Clone)]
pub struct Options {
    owner: String,
    left: BTreeMap<String, String>,
    read: Vec<String>,
}

impl Options {
    /// No options of the method `owner`.
    pub fn none(owner: &str) -> Self {
        Self { owner: owner.to_owned(), left: BTreeMap::new(), read: Vec::new() }
    }

    /// Parses `name=value,name=value`; empty text is no option.
    ///
    /// # Errors
    /// [`RegistryError::Option`] for a part without `=` or a name given twice.
    pub fn parse(owner: &str, text: &str) -> Result<Self, RegistryError> {
        let mut options = Self::none(owner);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| refused(owner, part, "option=value"))?;
            let before = options.left.insert(name.trim().to_owned(), value.trim().to_owned());
            if before.is_some() {
                return Err(refused(owner, part, "every option once"));
            }
        }
        Ok(options)
    }

    /// The value of `name` in `[low, high]`, or `default`.
    ///
    /// # Errors
    /// [`RegistryError::Option`] naming the option, its value and the range.
    pub fn number<T: FromStr + PartialOrd + Display + Copy>(
        &mut self,
        name: &str,
        default: T,
        [low, high]: [T; 2],
    ) -> Result<T, RegistryError> {
        self.read.push(name.to_owned());
        let Some(text) = self.left.remove(name) else {
            return Ok(default);
        };
        match text.parse::<T>() {
            Ok(value) if value >= low && value <= high => Ok(value),
            _ => Err(refused(self.field(name), text, format!("{low} to {high}"))),
        }
    }

    /// The value of `name` among `choices`, or the first of them.
    ///
    /// # Errors
    /// [`RegistryError::Option`] naming the option, its value and the choices.
    pub fn choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<T, RegistryError> {
        self.read.push(name.to_owned());
        let Some(text) = self.left.remove(name) else {
            return Ok(choices[0].1);
        };
        choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value).ok_or_else(
            || {
                let known: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
                refused(self.field(name), text, format!("one of {}", known.join(", ")))
            },
        )
    }

    /// Refuses options that nobody read.
    ///
    /// # Errors
    /// [`RegistryError::Option`] naming the option and the known ones.
    pub fn finish(self) -> Result<(), RegistryError> {
        let Some((name, value)) = self.left.first_key_value() else {
            return Ok(());
        };
        let expected = match self.read.join(", ") {
            none if none.is_empty() => "no options".to_owned(),
            known => format!("options {known}"),
        };
        Err(refused(&self.owner, format!("option `{name}` = {value}"), expected))
    }

    fn field(&self, name: &str) -> String {
        format!("{}:{name}", self.owner)
    }
}

fn refused(
    field: impl Into<String>,
    found: impl Into<String>,
    expected: impl Into<String>,
) -> RegistryError {
    RegistryError::Option { field: field.into(), found: found.into(), expected: expected.into() }
}
