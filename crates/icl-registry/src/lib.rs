//! Methods known by name: `name` or `name:option=value,option=value`.
//!
//! A family of methods is a list of entries, one file a method: the modifications of attention
//! (`icl_model::attention::ALL`) and the feature maps (`dual_model::feature_map::ALL`). Command line,
//! settings, error messages, documents and tests take what there is from the list; nothing else
//! repeats a name. This crate knows how a method is named and how its options are read, not what it does.

mod options;

pub use options::Options;

/// An entry of a list of methods.
pub trait Entry {
    /// What the list holds, for messages: "feature map".
    const KIND: &'static str;

    /// Name on the command line and in settings.
    fn id(&self) -> &'static str;
}

/// What is wrong with the name of a method or with its options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// A name that the list does not have.
    #[error("unknown {kind} `{found}`; known: {known}")]
    Unknown {
        /// What the list holds.
        kind: &'static str,
        /// The name.
        found: String,
        /// The names in the list.
        known: String,
    },
    /// An option that is unknown or outside its range.
    #[error("setting `{field}`: found {found}, expected {expected}")]
    Option {
        /// `name:option`.
        field: String,
        /// Its value.
        found: String,
        /// The allowed values.
        expected: String,
    },
}

/// The names of a list, in its order, for messages.
pub fn names<E: Entry>(all: &[E]) -> String {
    all.iter().map(Entry::id).collect::<Vec<_>>().join(", ")
}

/// The entry that `name` or `name:option=value,..` means, and its options, not read yet.
///
/// # Errors
/// [`RegistryError`] naming what is known, or the part that is no option.
pub fn find<'e, E: Entry>(
    all: &'e [E],
    specification: &str,
) -> Result<(&'e E, Options), RegistryError> {
    let (id, options) = specification.split_once(':').unwrap_or((specification, ""));
    let entry = all.iter().find(|entry| entry.id() == id).ok_or_else(|| {
        RegistryError::Unknown { kind: E::KIND, found: id.to_owned(), known: names(all) }
    })?;
    Ok((entry, Options::parse(id, options)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tool(&'static str);

    impl Entry for Tool {
        const KIND: &'static str = "tool";

        fn id(&self) -> &'static str {
            self.0
        }
    }

    #[test]
    fn entries_are_found_with_their_options_and_others_refused_with_what_is_known() {
        let all = [Tool("saw"), Tool("drill")];
        let (entry, mut options) = find(&all, "drill:speed=3").unwrap();
        assert_eq!(entry.id(), "drill");
        assert_eq!(options.number("speed", 1, [1, 5]).unwrap(), 3);
        options.finish().unwrap();
        let refused = |specification: &str| {
            let found = find(&all, specification).and_then(|(_, mut options)| {
                options.number("speed", 1, [1, 5])?;
                options.choice("bit", &[("wood", 1), ("stone", 2)])?;
                options.finish()
            });
            found.unwrap_err().to_string()
        };
        for (specification, message) in [
            ("hammer", "unknown tool `hammer`; known: saw, drill"),
            ("saw:teeth", "setting `saw`: found teeth, expected option=value"),
            ("saw:a=1,a=2", "setting `saw`: found a=2, expected every option once"),
            ("saw:speed=6", "setting `saw:speed`: found 6, expected 1 to 5"),
            ("saw:bit=clay", "setting `saw:bit`: found clay, expected one of wood, stone"),
            ("saw:a=1", "setting `saw`: found option `a` = 1, expected options speed, bit"),
        ] {
            assert_eq!(refused(specification), message);
        }
        let (_, options) = find(&all, "saw:a=1").unwrap();
        assert!(options.finish().unwrap_err().to_string().ends_with("expected no options"));
    }
}
