//! Choices with one name each: in settings, in tables, in specifications and on figures.

/// A choice among few.
pub(crate) trait Named: Copy + 'static {
    /// All, in the order of tables and figures.
    const ALL: &'static [Self];

    /// The name.
    fn name(self) -> &'static str;
}

/// An enum whose variants have these names, also for serde.
macro_rules! named {
    (
        $(#[$about:meta])*
        $visibility:vis enum $choice:ident {
            $($(#[$about_variant:meta])* $variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        $visibility enum $choice {
            $($(#[$about_variant])* #[serde(rename = $name)] $variant,)+
        }

        impl $crate::named::Named for $choice {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use super::*;

    named! {
        /// Two of them.
        enum Fruit {
            Apple = "an apple",
            Pear = "pear",
        }
    }

    #[test]
    fn names_are_those_of_serde_and_others_are_refused() {
        for fruit in Fruit::ALL {
            let text = serde_json::to_value(fruit).unwrap();
            assert_eq!(text, fruit.name());
            assert_eq!(serde_json::from_value::<Fruit>(text).unwrap(), *fruit);
        }
        let error = serde_json::from_str::<Fruit>("\"apple\"").unwrap_err().to_string();
        assert!(error.contains("an apple") && error.contains("pear"), "{error}");
    }
}
