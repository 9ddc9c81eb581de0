//! Data in the forms in which people have it, whole and broken. All sentences here are our own.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![expect(clippy::disallowed_methods, reason = "scratch folders")]

use icl_glue::{Data, Split, Task, WordPieces};
use icl_model::bert::Sequence;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const MRPC: &str = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n";
const RTE: &str = "index\tsentence1\tsentence2\tlabel\n";

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn read(task: Task, file: &str, content: &str) -> Result<Data, String> {
    let folder = folder(&[(file, content.as_bytes())]);
    Data::read(folder.path(), task, Split::Dev).map_err(|error| error.to_string())
}

#[test]
fn text_is_taken_as_it_stands() {
    let content = format!(
        "\u{feff}{MRPC}1\t7\t8\t\"The cat\", he said.\tA \"cat, said he\n0\t9\t10\tTwo  blanks \t'\"'"
    );
    let data = read(Task::Mrpc, "MRPC/dev.tsv", &content).unwrap();
    assert_eq!(data.rows.len(), 2);
    assert_eq!(data.rows[0].first, "\"The cat\", he said.");
    assert_eq!(data.rows[0].second.as_deref(), Some("A \"cat, said he"));
    assert_eq!(data.rows[1].first, "Two  blanks ");
    assert_eq!(data.labels().unwrap(), [1.0, 0.0]);
    assert!(data.known.is_none());
}

#[test]
fn every_task_has_its_columns_and_label_words() {
    let cola = read(Task::Cola, "CoLA/dev.tsv", "a1\t0\t*\tHim ran.\nb2\t1\t\tHe ran.\n").unwrap();
    assert_eq!(cola.labels().unwrap(), [0.0, 1.0]);
    assert_eq!(cola.rows[1].first, "He ran.");
    let rte = format!("{RTE}0\tIt rains.\tIt is wet.\tentailment\n1\tA.\tB.\tnot_entailment\n");
    assert_eq!(read(Task::Rte, "rte/dev.tsv", &rte).unwrap().labels().unwrap(), [0.0, 1.0]);
    let sts = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n\
               0\tmain\tf\t2012\t1\ts\ts\tA cat.\tA dog.\t1.53333333333333\n";
    assert_eq!(
        read(Task::StsB, "STS-B/dev.tsv", sts).unwrap().labels().unwrap(),
        [1.533_333_333_333_33]
    );
    // without labels
    let test = "index\tsentence1\tsentence2\n0\tA.\tB.\n";
    let data = read(Task::Rte, "RTE/dev.tsv", test).unwrap();
    assert_eq!((data.rows.len(), data.rows[0].label), (1, None));
    assert!(data.labels().unwrap_err().to_string().contains("train or dev"));
}

#[test]
fn broken_files_are_refused_with_file_line_and_next_step() {
    let row = "0\tA.\tB.\tentailment\n";
    for (content, parts) in [
        (format!("{RTE}{row}1\tA.\tentailment\n"), ["line 3", "3 fields"]),
        (format!("{RTE}{row}1\tA.\tB.\tperhaps\n"), ["line 3, label", "`perhaps`"]),
        (format!("{RTE}{row}1\t\tB.\tentailment\n"), ["line 3, sentence", "nothing"]),
        (RTE.to_owned(), ["rows", "none"]),
        (String::new(), ["rows", "none"]),
        (format!("{MRPC}1\t2\t3\tA\tB\n"), ["line 1", "4 or 3 columns of RTE"]),
        (row.to_owned(), ["line 1", "columns of RTE"]),
    ] {
        let message = read(Task::Rte, "RTE/dev.tsv", &content).unwrap_err();
        for part in parts.into_iter().chain(["RTE/dev.tsv", "fetch the file again"]) {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let message = read(Task::StsB, "RTE/dev.tsv", RTE).unwrap_err();
    assert!(message.contains("STS-B/dev.tsv, or stsb/validation-*.parquet"), "{message}");
    let latin =
        folder(&[("RTE/dev.tsv", b"index\tsentence1\tsentence2\tlabel\n0\tCaf\xe9\tB\t0\n")]);
    let message = Data::read(latin.path(), Task::Rte, Split::Dev).unwrap_err().to_string();
    assert!(message.contains("line 2") && message.contains("UTF-8"), "{message}");
}

/// A parquet file of two pairs, with labels of a kind.
fn parquet(
    kind: &str,
    labels: &dyn Fn(&mut SerializedRowGroupWriter<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let message = format!(
        "message rows {{ required binary sentence1 (STRING); required binary sentence2 (STRING); \
         required {kind} label; }}"
    );
    let snappy = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(&message).unwrap());
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(snappy)).unwrap();
    let mut group = file.next_row_group().unwrap();
    for texts in [["A \"cat\".", "B."], ["A dog.", "C."]] {
        let mut column = group.next_column().unwrap().unwrap();
        let texts = texts.map(ByteArray::from);
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
    }
    labels(&mut group);
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

fn classes(labels: [i64; 2]) -> Vec<u8> {
    parquet("int64", &|group| {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
    })
}

fn scores(labels: [f32; 2]) -> Vec<u8> {
    parquet("float", &|group| {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<FloatType>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
    })
}

#[test]
fn parquet_of_the_hub_holds_the_same() {
    let whole = classes([1, 0]);
    let name = "mrpc/validation-00000-of-00001.parquet";
    let data = Data::read(folder(&[(name, &whole)]).path(), Task::Mrpc, Split::Dev).unwrap();
    assert_eq!(data.labels().unwrap(), [1.0, 0.0]);
    assert_eq!(data.rows[0].first, "A \"cat\".");
    let absent = classes([-1, -1]);
    let data = Data::read(folder(&[(name, &absent)]).path(), Task::Mrpc, Split::Dev).unwrap();
    assert!(data.rows.iter().all(|row| row.label.is_none()));
    let half = &whole[..whole.len() / 2];
    let foreign = classes([1, 2]);
    for (bytes, part) in [(half, "undamaged parquet"), (&foreign, "row 1, column label")] {
        let folder = folder(&[(name, bytes)]);
        let error = Data::read(folder.path(), Task::Mrpc, Split::Dev).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(part), "{error}");
    }
    let scores = scores([2.5, 5.0]);
    let name = "stsb/validation-00000-of-00001.parquet";
    let data = Data::read(folder(&[(name, &scores)]).path(), Task::StsB, Split::Dev).unwrap();
    assert_eq!(data.labels().unwrap(), [2.5, 5.0]);
}

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nrun\n##ning\n.\n";

fn pieces(folder: &Path, longest: usize, first: &str, second: Option<&str>) -> Sequence {
    let row = icl_glue::Row { first: first.into(), second: second.map(Into::into), label: None };
    WordPieces::open(folder, longest).unwrap().sequence(&row).unwrap()
}

#[test]
fn word_pieces_of_a_vocabulary_alone_are_berts() {
    let model = folder(&[("vocab.txt", VOCABULARY.as_bytes())]);
    let one = pieces(model.path(), 128, "The CAT running.", None);
    assert_eq!(one.ids, [2, 5, 6, 7, 8, 9, 3]);
    let pair = pieces(model.path(), 8, "the the the the", Some("cat fox"));
    // the longer sentence is cut, an unknown word is marked
    assert_eq!(pair.ids, [2, 5, 5, 5, 3, 6, 1, 3]);
    assert_eq!(pair.segments, [0, 0, 0, 0, 0, 1, 1, 1]);
    let cased = folder(&[
        ("vocab.txt", VOCABULARY.as_bytes()),
        ("tokenizer_config.json", br#"{ "do_lower_case": false }"#),
    ]);
    assert_eq!(pieces(cased.path(), 128, "The cat", None).ids, [2, 1, 6, 3]);
    for (files, part) in [
        (vec![], "tokenizer.json or vocab.txt"),
        (vec![("vocab.txt", &b"a\nb\n"[..])], "[SEP]"),
        (vec![("tokenizer.json", &b"{}"[..])], "undamaged tokenizer"),
    ] {
        let error = WordPieces::open(folder(&files).path(), 128).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
