//! Which module refers to which, and the circles among them.

use super::source::{Source, without_tests};
use std::collections::{BTreeMap, BTreeSet};

type Path = Vec<String>;

/// A crate's modules with the names that they hand on.
struct Crate {
    modules: BTreeSet<Path>,
    /// Module and name: what the name stands for.
    handed_on: BTreeMap<(Path, String), Path>,
}

/// The circles, one line each: the children of a module that refer to each other in a circle.
pub(crate) fn circles(sources: &[Source]) -> Vec<String> {
    let modules: BTreeSet<Path> = sources.iter().map(|source| source.module.clone()).collect();
    let mut all = Crate { modules, handed_on: BTreeMap::new() };
    let imports: Vec<(Path, Vec<Import>)> = sources
        .iter()
        .map(|source| (source.module.clone(), imports(&without_tests(&source.text))))
        .collect();
    for (module, imports) in &imports {
        for import in imports.iter().filter(|import| import.public) {
            if let Some(path) = all.absolute(module, &import.path) {
                all.handed_on.insert((module.clone(), import.name.clone()), path);
            }
        }
    }
    let mut edges: BTreeMap<Path, BTreeSet<(String, String)>> = BTreeMap::new();
    for (module, imports) in &imports {
        for import in imports {
            let target = all.absolute(module, &import.path).and_then(|path| all.module_of(&path));
            // the first place where both paths part decides between whose children this is
            let Some(target) = target else { continue };
            let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                let pair = (from.clone(), to.clone());
                edges.entry(module[..common].to_vec()).or_default().insert(pair);
            }
        }
    }
    let rooms = edges.iter().filter_map(|(parent, pairs)| circle(pairs).map(|c| (parent, c)));
    rooms.map(|(parent, circle)| format!("in `{}`: {circle}", parent.join("::"))).collect()
}

impl Crate {
    /// A path of the crate from its root; none if it leads out of the crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let above = module.len().checked_sub(ups)?;
                Some([&module[..above], &path[ups..]].concat())
            }
            // a child, or another crate
            _ => {
                let own = [module, std::slice::from_ref(first)].concat();
                self.modules.contains(&own).then(|| [module, path].concat())
            }
        }
    }

    /// The module in which the item of a path stands, past names that are handed on.
    fn module_of(&self, path: &[String]) -> Option<Path> {
        let mut path = path.to_vec();
        // names that are handed on in a circle do not compile
        loop {
            let known = (0..=path.len()).rev().find(|n| self.modules.contains(&path[..*n]))?;
            let (module, rest) = path.split_at(known);
            let handed_on = rest.first().and_then(|name| {
                let target = self.handed_on.get(&(module.to_vec(), name.clone()))?;
                Some([target.as_slice(), &rest[1..]].concat())
            });
            match handed_on {
                Some(target) => path = target,
                None => return Some(module.to_vec()),
            }
        }
    }
}

/// A path that a file refers to, with the name under which a `use` line has it.
struct Import {
    path: Path,
    name: String,
    public: bool,
}

/// Every path in `use` lines, and every other path that begins with `crate` or `super`.
fn imports(code: &str) -> Vec<Import> {
    let mut imports = Vec::new();
    for statement in code.split([';']) {
        let Some(at) = word(statement, "use ") else { continue };
        let public = statement[..at].trim_end().ends_with(['b', ')']);
        let tree = statement[at + 4..].trim();
        for (path, name) in expanded(tree) {
            imports.push(Import { path, name, public });
        }
    }
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let path: String = code[at..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
                .collect();
            let path: Path =
                path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            imports.push(Import { path, name: String::new(), public: false });
        }
    }
    imports
}

/// Where a word begins that stands for itself.
fn word(text: &str, word: &str) -> Option<usize> {
    let own =
        |at: &usize| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '`');
    text.match_indices(word).map(|(at, _)| at).find(own)
}

/// The paths of a `use` tree, `a::{b, c::d as e}`, each with the name that it has then.
fn expanded(tree: &str) -> Vec<(Path, String)> {
    let tree = tree.trim();
    if let Some((head, rest)) = tree.split_once('{') {
        let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
        let prefix: Path =
            head.split("::").map(|part| part.trim().to_owned()).filter(|p| !p.is_empty()).collect();
        return parts(inside)
            .into_iter()
            .flat_map(|part| expanded(&part))
            .map(|(path, name)| {
                let own = path.first().is_some_and(|first| first == "self") && path.len() == 1;
                let name = if own { prefix.last().cloned().unwrap_or_default() } else { name };
                let path = if own { Vec::new() } else { path };
                ([prefix.clone(), path].concat(), name)
            })
            .collect();
    }
    let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
    let path: Path = path.split("::").map(|part| part.trim().to_owned()).collect();
    let last = path.last().cloned().unwrap_or_default();
    let name = if name.is_empty() { last } else { name.trim().to_owned() };
    vec![(path, name)]
}

/// The parts of a list that commas part, those inside braces left whole.
fn parts(list: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// The pairs that lie on circles, as arrows; none if there is no circle.
fn circle(pairs: &BTreeSet<(String, String)>) -> Option<String> {
    let on_circle = |(from, to): &&(String, String)| reaches(pairs, to, from);
    let arrows: Vec<String> =
        pairs.iter().filter(on_circle).map(|(from, to)| format!("{from} -> {to}")).collect();
    (!arrows.is_empty()).then(|| arrows.join(", "))
}

/// Whether the pairs lead from one name to another.
fn reaches(pairs: &BTreeSet<(String, String)>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut ahead = vec![from];
    while let Some(here) = ahead.pop() {
        let next = pairs.iter().filter(|pair| pair.0 == here).map(|pair| pair.1.as_str());
        ahead.extend(next.filter(|name| seen.insert(name)));
    }
    seen.contains(to)
}
