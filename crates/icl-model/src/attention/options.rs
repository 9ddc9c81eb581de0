//! Options of a modification, `name=value,name=value`.

use crate::ModelError;
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
    /// Parses `name=value,name=value`; empty text is no option.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a part without `=` or a name given twice.
    pub fn parse(owner: &str, text: &str) -> Result<Self, ModelError> {
        let mut left = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| ModelError::setting(owner, part, "option=value"))?;
            let before = left.insert(name.trim().to_owned(), value.trim().to_owned());
            if before.is_some() {
                return Err(ModelError::setting(owner, part, "every option once"));
            }
        }
        Ok(Self { owner: owner.to_owned(), left, read: Vec::new() })
    }

    /// The value of `name` in `[low, high]`, or `default`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the option, its value and the range.
    pub fn number<T: FromStr + PartialOrd + Display + Copy>(
        &mut self,
        name: &str,
        default: T,
        [low, high]: [T; 2],
    ) -> Result<T, ModelError> {
        self.read.push(name.to_owned());
        let Some(text) = self.left.remove(name) else {
            return Ok(default);
        };
        match text.parse::<T>() {
            Ok(value) if value >= low && value <= high => Ok(value),
            _ => Err(ModelError::setting(self.field(name), text, format!("{low} to {high}"))),
        }
    }

    /// The value of `name` among `choices`, or the first of them.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the option, its value and the choices.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Result<T, ModelError> {
        self.read.push(name.to_owned());
        let Some(text) = self.left.remove(name) else {
            return Ok(choices[0].1);
        };
        choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value).ok_or_else(
            || {
                let known: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
                ModelError::setting(self.field(name), text, format!("one of {}", known.join(", ")))
            },
        )
    }

    /// Refuses options that nobody read.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the option and the known ones.
    pub fn finish(self) -> Result<(), ModelError> {
        match self.left.first_key_value() {
            None => Ok(()),
            Some((name, value)) => Err(ModelError::setting(
                self.owner.clone(),
                format!("option `{name}` = {value}"),
                format!("options {}", self.read.join(", ")),
            )),
        }
    }

    fn field(&self, name: &str) -> String {
        format!("{}:{name}", self.owner)
    }
}
