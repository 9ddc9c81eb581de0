//! Results by the names of their cells.

use super::Cell;
use crate::table::Table;
use crate::{ArtifactError, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// What messages call the results of a plan.
const RESULTS: &str = "results";

/// The results of a plan's cells, by name. Which were read is remembered: outputs that pass over one do not
/// say what they seem to.
#[derive(Debug)]
pub struct Results {
    /// In the order of the plan.
    tables: Vec<(String, Table, AtomicBool)>,
    places: BTreeMap<String, usize>,
}

/// The first name that two cells have.
pub fn doubled_name(cells: &[Cell]) -> Option<&str> {
    let mut names = BTreeSet::new();
    cells.iter().map(|cell| cell.name.as_str()).find(|name| !names.insert(*name))
}

fn fault(name: &str, found: &str, expected: impl Into<String>) -> ArtifactError {
    ArtifactError::table(RESULTS, Place::Part(format!("`{name}`")), found, expected)
}

impl Results {
    /// Results in the order of their plan. A table takes its cell's name, whether it was computed now or restored
    /// under the name that another plan gave it.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if a name comes twice.
    pub fn new(results: impl IntoIterator<Item = (String, Table)>) -> Result<Self, ArtifactError> {
        let (mut tables, mut places) = (Vec::new(), BTreeMap::new());
        for (name, table) in results {
            if places.insert(name.clone(), tables.len()).is_some() {
                return Err(fault(&name, "two results of this name", "one"));
            }
            let table = table.named(&name);
            tables.push((name, table, AtomicBool::new(false)));
        }
        Ok(Self { tables, places })
    }

    fn read(&self, place: usize) -> &Table {
        let (_, table, read) = &self.tables[place];
        read.store(true, Ordering::Relaxed);
        table
    }

    /// The result of the cell `name`.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if there is none.
    pub fn get(&self, name: &str) -> Result<&Table, ArtifactError> {
        let place = self.places.get(name).copied();
        place.map(|place| self.read(place)).ok_or_else(|| {
            let known: Vec<&str> = self.tables.iter().map(|(name, ..)| name.as_str()).collect();
            fault(name, "no result of this name", format!("one of {}", known.join(", ")))
        })
    }

    /// The results of the cells `names`, in this order.
    ///
    /// # Errors
    /// As [`Self::get`] of the first that is missing.
    pub fn each<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Vec<&Table>, ArtifactError> {
        names.into_iter().map(|name| self.get(name.as_ref())).collect()
    }

    /// All results, in the order of the plan.
    pub fn all(&self) -> Vec<&Table> {
        (0..self.tables.len()).map(|place| self.read(place)).collect()
    }

    /// Refuses results that nothing has read.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] naming the first one.
    pub fn check_all_read(&self) -> Result<(), ArtifactError> {
        match self.tables.iter().find(|(_, _, read)| !read.load(Ordering::Relaxed)) {
            Some((name, ..)) => Err(fault(
                name,
                "a result that nothing reads",
                "outputs that follow from every cell",
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(names: &[&str]) -> Result<Results, ArtifactError> {
        let table = |x: f64| Table::builder("t").floats("x", vec![x]).build().unwrap();
        let named = |(i, name): (usize, &&str)| ((*name).to_owned(), table(i as f64));
        Results::new(names.iter().enumerate().map(named))
    }

    #[test]
    fn results_are_found_by_name_whatever_their_order() {
        let x = |table: &Table| table.floats("x").unwrap()[0];
        let results = results(&["curve", "plain/1", "plain/0"]).unwrap();
        assert_eq!(results.get("plain/1").unwrap().name(), "plain/1");
        assert_eq!(x(results.get("plain/0").unwrap()), 2.0);
        let seeds = results.each((0..2).map(|seed| format!("plain/{seed}"))).unwrap();
        assert_eq!(seeds.into_iter().map(x).collect::<Vec<_>>(), [2.0, 1.0]);
        assert_eq!(results.all().into_iter().map(x).collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
    }

    #[test]
    fn missing_surplus_and_doubled_results_are_named() {
        let some = results(&["curve", "plain/0"]).unwrap();
        let message = some.each(["plain/0", "plain/1"]).unwrap_err().to_string();
        assert!(message.contains("`plain/1`") && message.contains("curve, plain/0"), "{message}");
        let message = some.check_all_read().unwrap_err().to_string();
        assert!(message.contains("`curve`") && message.contains("nothing reads"), "{message}");
        some.get("curve").unwrap();
        some.check_all_read().unwrap();
        let message = results(&["curve", "curve"]).unwrap_err().to_string();
        assert!(message.contains("`curve`") && message.contains("two results"), "{message}");
    }
}
