//! Four data sets with the questions of GLUE's tasks.
//!
//! * `CoLA`'s: is a sentence well-formed? Ill-formed ones have the words of a well-formed one in another order: two nouns of
//!   different number exchanged, so that a verb disagrees, or two neighbours exchanged.
//! * MRPC's: do two sentences say the same? Those that do not have agent and patient exchanged.
//! * STS-B's: how many of five are the same, 0 to 5: who, whom, which of the two is described, how, and whether at all.
//! * RTE's: does the second sentence follow? It does if it says the same or leaves out what was added; it does not if
//!   agent and patient, or their adjectives, are exchanged, or if one of the two is denied.
//!
//! Paper gap: none of this is the paper's; it stands in for data that cannot be shipped.

use super::lexicon::{ADVERBS, NOUNS};
use super::meaning::{Meaning, below, chance};
use super::reading::read;
use super::wording::Wording;
use crate::{Row, Task};
use icl_numerics::stream::{Draws, Stream};
use std::collections::BTreeSet;

/// Rows of the two splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// To train on.
    pub train: usize,
    /// To score on.
    pub dev: usize,
}

/// Rows of the splits train and dev of a task's set, no row twice; classes come in turn.
pub fn rows(seed: u64, task: Task, sizes: Sizes) -> [Vec<Row>; 2] {
    let stream = Stream::new(seed, &format!("grammar/{}", task.id()));
    let mut seen = BTreeSet::new();
    let mut rows = Vec::with_capacity(sizes.train + sizes.dev);
    for i in 0.. {
        if rows.len() == sizes.train + sizes.dev {
            break;
        }
        let row = row(task, &mut stream.sample(i), rows.len());
        if seen.insert((row.first.clone(), row.second.clone())) {
            rows.push(row);
        }
    }
    let dev = rows.split_off(sizes.train);
    [rows, dev]
}

/// The `number`-th row, which says of which class it is.
fn row(task: Task, draws: &mut Draws<'_>, number: usize) -> Row {
    let class = number % 2;
    match task {
        Task::Cola => acceptability(draws, class),
        Task::Mrpc => {
            let meaning = Meaning::exchangeable(draws);
            let second = if class == 1 { meaning.clone() } else { meaning.clone().exchanged() };
            pair(draws, &meaning, &second, class as f64)
        }
        Task::StsB => likeness(draws),
        Task::Rte => entailment(draws, class),
    }
}

/// A row of two sentences, each in a wording of its own, the first in the active voice.
fn pair(draws: &mut Draws<'_>, first: &Meaning, second: &Meaning, label: f64) -> Row {
    let first = Wording::active(draws).sentence(first);
    let second = Wording::draw(draws).sentence(second);
    Row { first, second: Some(second), label: Some(label) }
}

/// Well-formed, or the words of a well-formed sentence out of order.
fn acceptability(draws: &mut Draws<'_>, class: usize) -> Row {
    let meaning = Meaning::any(draws);
    let mut words = Wording::draw(draws).words(&meaning);
    if class == 0 {
        let nouns: Vec<usize> = (0..words.len()).filter(|i| is_noun(words[*i])).collect();
        let of_nouns = nouns.iter().flat_map(|a| nouns.iter().map(move |b| (*a, *b)));
        let of_nouns = broken(&words, of_nouns.filter(|(a, b)| a < b));
        // all but the full stop
        let of_neighbours = broken(&words, (0..words.len() - 2).map(|a| (a, a + 1)));
        let disagree = chance(draws, 0.5) && !of_nouns.is_empty();
        let broken = if disagree { of_nouns } else { of_neighbours };
        words = broken[below(draws, broken.len())].clone();
    }
    Row { first: words.join(" "), second: None, label: Some(class as f64) }
}

/// The words with two of them exchanged, for all pairs of places by which a rule is broken.
fn broken<'a>(words: &[&'a str], pairs: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<&'a str>> {
    let exchange = |(a, b)| {
        let mut words = words.to_vec();
        words.swap(a, b);
        read(&words.join(" ")).is_none().then_some(words)
    };
    pairs.filter_map(exchange).collect()
}

fn is_noun(word: &str) -> bool {
    NOUNS.iter().flatten().flatten().any(|noun| *noun == word)
}

/// The second says of the same two what may be altered.
fn likeness(draws: &mut Draws<'_>) -> Row {
    let (manner, denied) = (Some(below(draws, ADVERBS.len())), chance(draws, 0.5));
    let first = Meaning { manner, denied, ..Meaning::exchangeable(draws) };
    let second = first.altered(draws);
    let likeness = first.likeness(&second);
    pair(draws, &first, &second, likeness)
}

/// The second sentence leaves out how, if anything; half of all are denied, and then nothing is left out.
fn entailment(draws: &mut Draws<'_>, class: usize) -> Row {
    let manner = Some(below(draws, ADVERBS.len()));
    let denied = chance(draws, 0.5);
    let premise = Meaning { manner, denied, ..Meaning::exchangeable(draws) };
    let same = Meaning { manner: manner.filter(|_| denied), ..premise.clone() };
    let (kind, follows) = (below(draws, 3), class == 0);
    let second = match kind {
        _ if follows => same,
        0 => same.exchanged(),
        1 => same.with_adjectives_exchanged(),
        _ => Meaning { denied: !denied, ..same },
    };
    pair(draws, &premise, &second, class as f64)
}

/// The file of a split, as GLUE's distribution has it; columns that say nothing here hold numbers of rows.
pub fn tsv(task: Task, rows: &[Row]) -> String {
    let header = match task {
        Task::Cola => "",
        Task::Mrpc => "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n",
        Task::StsB => {
            "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        }
        Task::Rte => "index\tsentence1\tsentence2\tlabel\n",
    };
    let line = |(i, row): (usize, &Row)| {
        let (first, second) = (&row.first, row.second.as_deref().unwrap_or_default());
        let label = row.label.unwrap_or(0.0);
        let word = task.label_words()[usize::from(label == 1.0)];
        match task {
            Task::Cola => {
                format!("grammar\t{word}\t{}\t{first}\n", ["*", ""][usize::from(label == 1.0)])
            }
            Task::Mrpc => format!("{word}\t{i}\t{i}\t{first}\t{second}\n"),
            Task::StsB => {
                format!(
                    "{i}\tgrammar\tgrammar\t0\t{i}\tgrammar\tgrammar\t{first}\t{second}\t{label:.3}\n"
                )
            }
            Task::Rte => format!("{i}\t{first}\t{second}\t{word}\n"),
        }
    };
    std::iter::once(header.to_owned()).chain(rows.iter().enumerate().map(line)).collect()
}

/// The label that a row has by the rules: the sentences are read, and their meanings compared.
pub fn by_rules(task: Task, row: &Row) -> Option<f64> {
    let first = read(&row.first);
    let both = || Some((first.clone()?, read(row.second.as_deref()?)?));
    Some(match task {
        Task::Cola => f64::from(u8::from(first.is_some())),
        Task::Mrpc => both().map(|(a, b)| f64::from(u8::from(a == b)))?,
        Task::Rte => both().map(|(a, b)| f64::from(u8::from(!b.follows_from(&a))))?,
        Task::StsB => {
            let (a, b) = both()?;
            a.likeness(&b)
        }
    })
}
