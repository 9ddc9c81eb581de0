//! Settings of a modification in a figure's words.

use artifact::figure::Style;

/// A modification's id: `negative` of `negative:m=3,beta=0.5`.
pub(crate) fn kind(setting: &str) -> &str {
    setting.split([':', ',']).next().unwrap_or(setting)
}

/// The look of a setting: that of its kind.
pub(crate) fn style(setting: &str) -> Style {
    Style::of(kind(setting)).unwrap_or(Style::LIMIT)
}

/// A setting without its kind's name: `m = 3, β = 0.5`; of a combination what it combines: `α = 0.5 + g + m = 7`, with
/// `g` for the augmentation.
pub(crate) fn label(setting: &str) -> String {
    let Some((kind, options)) = setting.split_once(':') else { return setting.to_owned() };
    let options: Vec<(&str, &str)> =
        options.split(',').map(|option| option.split_once('=').unwrap_or((option, ""))).collect();
    let of = |name: &str| options.iter().find(|option| option.0 == name).map(|option| option.1);
    if kind == "combined" {
        return combination(of);
    }
    let form = match of("form") {
        Some("mlp") => "MLP",
        Some(form) => form,
        None => "",
    };
    let words =
        options.iter().filter(|(name, _)| *name != "form").map(|(name, value)| match *name {
            "alpha" => format!("α = {value}"),
            "beta" => format!("β = {value}"),
            "m" => format!("m = {value}"),
            "on" => format!("{form} on {value}").trim().to_owned(),
            name if value.is_empty() => name.to_owned(),
            name => format!("{name} {value}"),
        });
    words.collect::<Vec<_>>().join(", ")
}

fn combination<'a>(of: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut parts = Vec::new();
    if let Some(alpha) = of("alpha").filter(|alpha| *alpha != "0") {
        parts.push(format!("α = {alpha}"));
    }
    if of("on").is_some_and(|on| on != "none") {
        parts.push("g".to_owned());
    }
    if let Some(m) = of("m").filter(|_| of("beta").is_some_and(|beta| beta != "0")) {
        parts.push(format!("m = {m}"));
    }
    parts.join(" + ")
}

/// A verdict in one sign, and what the signs mean.
pub(crate) fn sign(word: &str) -> &'static str {
    match word {
        "better" => "↓",
        "worse" => "↑",
        "equivalent" => "=",
        "undecided" => "?",
        _ => "",
    }
}

/// What the signs mean, for a caption.
pub(crate) const SIGNS: &str = "↓ lower, ↑ higher, = equivalent, ? undecided";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_by_what_they_do() {
        for (setting, expected) in [
            ("plain", "plain"),
            ("regularised:alpha=0.5", "α = 0.5"),
            ("augmented:form=mlp,on=keys", "MLP on keys"),
            ("negative:m=3,beta=0.1", "m = 3, β = 0.1"),
            ("combined:alpha=0.5,form=elementwise,on=none,m=7,beta=0.5", "α = 0.5 + m = 7"),
            ("combined:alpha=0,form=elementwise,on=both,m=7,beta=0.5", "g + m = 7"),
            ("combined:alpha=0.5,form=elementwise,on=both,m=7,beta=0", "α = 0.5 + g"),
        ] {
            assert_eq!(label(setting), expected);
        }
        assert_eq!(kind("negative:m=3"), "negative");
    }
}
