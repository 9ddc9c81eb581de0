//! The four tasks of the paper's table.

use icl_model::bert::Target;
use std::fmt;
use std::str::FromStr;

/// A task of GLUE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Corpus of Linguistic Acceptability: is a sentence well-formed?
    Cola,
    /// Microsoft Research Paraphrase Corpus: do two sentences say the same?
    Mrpc,
    /// Semantic Textual Similarity Benchmark: how alike are two sentences, 0 to 5?
    StsB,
    /// Recognizing Textual Entailment: does the second sentence follow from the first?
    Rte,
}

impl Task {
    /// All, in the order of the paper's table.
    pub const ALL: [Self; 4] = [Self::Cola, Self::Mrpc, Self::StsB, Self::Rte];

    /// Name on the command line, which is the Hugging Face loader's.
    pub fn id(self) -> &'static str {
        match self {
            Self::Cola => "cola",
            Self::Mrpc => "mrpc",
            Self::StsB => "stsb",
            Self::Rte => "rte",
        }
    }

    /// Name of the folder in GLUE's own distribution.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Cola => "CoLA",
            Self::Mrpc => "MRPC",
            Self::StsB => "STS-B",
            Self::Rte => "RTE",
        }
    }

    /// What is predicted.
    pub fn target(self) -> Target {
        if self == Self::StsB { Target::Score } else { Target::Class(2) }
    }

    /// Whether there are two sentences.
    pub fn is_pair(self) -> bool {
        self != Self::Cola
    }

    /// The words for classes 0 and 1 in GLUE's files, in the order of the Hugging Face loader.
    pub(crate) fn label_words(self) -> [&'static str; 2] {
        match self {
            Self::Rte => ["entailment", "not_entailment"],
            _ => ["0", "1"],
        }
    }

    /// Columns of a labelled file of GLUE's distribution: sentences, label, and how many there are; and whether a header
    /// names them.
    pub(crate) fn columns(self) -> Columns {
        match self {
            Self::Cola => Columns::new(false, 4, &[3], 1),
            Self::Mrpc => Columns::new(true, 5, &[3, 4], 0),
            Self::StsB => Columns::new(true, 10, &[7, 8], 9),
            Self::Rte => Columns::new(true, 4, &[1, 2], 3),
        }
    }

    /// Columns of a file without labels.
    pub(crate) fn unlabelled_columns(self) -> Columns {
        match self {
            Self::Cola => Columns::new(true, 2, &[1], 2),
            Self::Mrpc => Columns::new(true, 5, &[3, 4], 5),
            Self::StsB => Columns::new(true, 9, &[7, 8], 9),
            Self::Rte => Columns::new(true, 3, &[1, 2], 3),
        }
    }
}

/// The columns of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    pub(crate) header: bool,
    pub(crate) number: usize,
    pub(crate) sentences: &'static [usize],
    /// Out of range in a file without labels.
    pub(crate) label: usize,
}

impl Columns {
    const fn new(header: bool, number: usize, sentences: &'static [usize], label: usize) -> Self {
        Self { header, number, sentences, label }
    }

    /// Whether the rows have a label.
    pub(crate) fn labelled(self) -> bool {
        self.label < self.number
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |name: &str| name.to_lowercase().replace('-', "");
        Self::ALL.into_iter().find(|task| task.id() == plain(text)).ok_or_else(|| {
            let known = Self::ALL.map(Self::id).join(", ");
            format!("found {text}, expected one of {known}")
        })
    }
}

/// A part of a task's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// What is trained on.
    Train,
    /// What scores are reported on.
    Dev,
    /// Without labels.
    Test,
}

impl Split {
    /// Name in GLUE's distribution.
    pub fn id(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }

    /// Name in the Hugging Face loader's files.
    pub(crate) fn hub_id(self) -> &'static str {
        if self == Self::Dev { "validation" } else { self.id() }
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "train" => Ok(Self::Train),
            "dev" | "validation" => Ok(Self::Dev),
            "test" => Ok(Self::Test),
            _ => Err(format!("found {text}, expected train, dev or test")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_known_by_either_name() {
        for task in Task::ALL {
            assert_eq!(task.id().parse(), Ok(task));
            assert_eq!(task.folder().parse(), Ok(task));
        }
        assert!("sst2".parse::<Task>().unwrap_err().contains("cola, mrpc, stsb, rte"));
        assert_eq!("validation".parse(), Ok(Split::Dev));
    }
}
