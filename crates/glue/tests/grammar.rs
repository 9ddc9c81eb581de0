//! The grammar's sets: in GLUE's format, balanced, beyond the counts of words, and right by the rules.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_glue::grammar::sets::{Sizes, by_rules};
use icl_glue::grammar::{self, documents, lexicon};
use icl_glue::metric::{accuracy, pearson};
use icl_glue::{Data, Floor, Row, Task, WordPieces};
use std::collections::BTreeSet;
use std::path::Path;

const SIZES: Sizes = Sizes { train: 2000, dev: 1000 };
const CLASSES: [Task; 3] = [Task::Cola, Task::Mrpc, Task::Rte];

fn labels(rows: &[Row]) -> Vec<f64> {
    rows.iter().map(|row| row.label.unwrap()).collect()
}

#[test]
fn files_are_read_again_to_the_same_rows() {
    for task in Task::ALL {
        for rows in grammar::rows(1, task, Sizes { train: 60, dev: 30 }) {
            let bytes = grammar::tsv(task, &rows).into_bytes();
            let data = Data::from_bytes(Path::new("dev.tsv"), task, bytes).unwrap();
            assert_eq!(data.rows, rows, "{task}");
        }
    }
}

#[test]
fn the_rules_get_everything_right_and_no_row_comes_twice() {
    for task in Task::ALL {
        let [train, dev] = grammar::rows(2, task, SIZES);
        assert_eq!([train.len(), dev.len()], [SIZES.train, SIZES.dev]);
        let all: Vec<&Row> = train.iter().chain(&dev).collect();
        for row in &all {
            assert_eq!(by_rules(task, row), row.label, "{task}: {row:?}");
        }
        let different: BTreeSet<_> = all.iter().map(|row| (&row.first, &row.second)).collect();
        assert_eq!(different.len(), all.len(), "{task}");
        let [again, other] = [2, 3].map(|seed| grammar::rows(seed, task, SIZES));
        assert!(again == [train.clone(), dev] && other[0] != train, "{task}");
    }
}

#[test]
fn counts_of_words_tell_next_to_nothing() {
    for task in CLASSES {
        let [train, dev] = grammar::rows(4, task, SIZES);
        let labels = labels(&dev);
        let half = accuracy(&vec![1.0; dev.len()], &labels);
        assert_eq!(half, 0.5, "{task}");
        let said = Floor::BagOfWords.predict(task, &train, &dev).unwrap();
        let found = accuracy(&said, &labels);
        // four standard errors of a thousand coins
        assert!((found - 0.5).abs() < 4.0 * 0.5 / 1000.0_f64.sqrt(), "{task}: {found}");
    }
    let [train, dev] = grammar::rows(4, Task::StsB, SIZES);
    let said = Floor::BagOfWords.predict(Task::StsB, &train, &dev).unwrap();
    let found = pearson(&said, &labels(&dev));
    assert!(found.abs() < 4.0 / 1000.0_f64.sqrt(), "{found}");
}

/// A word is one word piece, and the vocabulary knows all.
#[test]
fn sentences_are_word_pieces_of_the_vocabulary() {
    let pieces = WordPieces::from_vocabulary(&lexicon::vocabulary(), 64).unwrap();
    for row in documents(1, 0, 300) {
        let words = [&row.first, row.second.as_ref().unwrap()].map(|text| text.split(' ').count());
        let sequence = pieces.sequence(&row).unwrap();
        assert_eq!(sequence.ids.len(), words[0] + words[1] + 3, "{row:?}");
        assert!(!sequence.ids.contains(&1), "{row:?}");
    }
    let masking = pieces.masking().unwrap();
    assert_eq!(masking.mask, lexicon::MASK);
    assert_eq!(masking.ordinary.len(), lexicon::words().len());
    assert!(masking.ordinary.iter().all(|id| *id >= 5));
}
