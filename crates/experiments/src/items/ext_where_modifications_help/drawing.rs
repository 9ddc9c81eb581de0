//! One map for every modification: noise downwards, demonstrations to the right.

use super::ITEM;
use super::outputs::{Group, Run};
use super::settings::{Kind, Settings};
use artifact::figure::{Figure, Mark, Panel, SchemePanel};
use artifact::statistics::comparison::Word;
use icl_numerics::{largest, math};

/// Change of the loss at which the colour scale ends.
const SCALE: f64 = 0.2;
const RANGE: [f64; 2] = [-SCALE, SCALE];
/// Maps in a row.
const COLUMNS: usize = 5;
/// Width of a map, and height of its rows.
const WIDTH: f64 = 66.0;
const ROW: f64 = 13.0;
/// Room for the names of rows, between maps, and above them.
const LEFT: f64 = 34.0;
const GAP: f64 = 24.0;
const ABOVE: f64 = 44.0;
const TEXT: f64 = 6.5;

pub(super) fn figure(settings: &Settings, groups: &[Group]) -> Figure {
    let (width, height) = (WIDTH, ROW * settings.noise.len() as f64);
    let mut marks = Vec::new();
    let mut top = 0.0;
    for kind in Kind::ALL {
        let names = settings.modifications(kind);
        for (i, name) in names.iter().enumerate() {
            let left = LEFT + (i % COLUMNS) as f64 * (width + GAP);
            let runs: Vec<&Run> = groups
                .iter()
                .filter(|group| group.place.kind == kind)
                .flat_map(|group| group.runs.iter().filter(|run| run.setting == *name))
                .collect();
            map(&mut marks, settings, [left, top + ABOVE], [width, height], &runs);
            title(&mut marks, name, [left + width / 2.0, top + ABOVE - 22.0]);
            if i == 0 {
                let at = [244.0, top + 6.0];
                marks.push(Mark::Text { at, size: 8.0, text: kind.title().into() });
            }
            if i % COLUMNS == COLUMNS - 1 || i == names.len() - 1 {
                top += ABOVE + height + if i == names.len() - 1 { 6.0 } else { -8.0 };
            }
        }
    }
    marks.push(Mark::ColourBar { at: [214.0, top + 2.0], width: 60.0, range: RANGE });
    Figure {
        id: ITEM.id.into(),
        columns: 1,
        shares: vec![],
        panel_height: top + 16.0,
        panels: vec![Panel::Scheme(SchemePanel { marks })],
        caption: caption(settings, groups),
    }
}

fn map(
    marks: &mut Vec<Mark>,
    settings: &Settings,
    [left, top]: [f64; 2],
    size: [f64; 2],
    runs: &[&Run],
) {
    let columns = settings.sizes.len();
    let entries: Vec<f64> = runs.iter().map(|run| run.change.mean).collect();
    marks.push(Mark::Matrix {
        at: [left, top],
        size,
        columns,
        entries,
        range: RANGE,
        label: String::new(),
        // the words stand on them
        signed: false,
    });
    let entry = [size[0] / columns as f64, ROW];
    let middle = |i: usize, axis: usize| entry[axis] * (i as f64 + 0.5);
    for (i, run) in runs.iter().enumerate() {
        marks.push(Mark::Entry {
            at: [left + middle(i % columns, 0), top + middle(i / columns, 1)],
            size: TEXT,
            text: sign(run.comparison.word()).into(),
            entry: run.change.mean,
            range: RANGE,
        });
    }
    for (i, size) in settings.sizes.iter().enumerate() {
        let ratio = size.n_demos as f64 / settings.d_t as f64;
        let at = [left + middle(i, 0), top - 6.0];
        marks.push(Mark::Text { at, size: TEXT, text: format!("{ratio}") });
    }
    for (i, noise) in settings.noise.iter().enumerate() {
        let at = [left - 9.0, top + middle(i, 1)];
        marks.push(Mark::Text { at, size: TEXT, text: format!("{noise}") });
    }
}

/// A verdict in one sign.
fn sign(word: Word) -> &'static str {
    match word {
        Word::Better => "b",
        Word::Worse => "w",
        Word::Equivalent => "=",
        Word::Undecided => "?",
        Word::NotJudged => "-",
    }
}

/// The kind of a modification, and its options below.
fn title(marks: &mut Vec<Mark>, setting: &str, [x, y]: [f64; 2]) {
    let (kind, options) = setting.split_once(':').unwrap_or((setting, ""));
    let options = options
        .replace("{half}", "N/2")
        .replace("form=", "")
        .replace("on=", "")
        .replace("hidden=", "hidden ")
        .replace('=', " ")
        .replace(',', ", ");
    for (line, text) in [kind.to_owned(), options].into_iter().enumerate() {
        let at = [x, y + 8.0 * (line as f64 - 0.5)];
        marks.push(Mark::Text { at, size: TEXT, text });
    }
}

fn caption(settings: &Settings, groups: &[Group]) -> String {
    let comparisons: usize = groups.iter().map(|group| group.runs.len()).sum();
    let least = 2.0 * comparisons as f64 / math::powi(2.0, settings.seeds as i32);
    let least = largest::at_most(least, 1.0);
    format!(
        "Linear task, d_t = {}: change of the loss by a modification relative to plain, mean \
         over {} seeds; blue is better, colours grow with the root and end at {SCALE}. Rows: noise on the demonstrations' labels in standard \
         deviations of an answer; columns: N / d_t. A guess is the answer with noise of {} standard deviations. All start \
         within the branch that is the better for plain, also where it is not for alpha 1. b better, w worse, \
         = within {} % of plain, ? undecided, - not judged (fewer than six seeds): exact sign-flip tests, Holm over all \
         {comparisons} comparisons, of which the least possible p is {least:.1e}.",
        settings.d_t,
        settings.seeds,
        settings.guess,
        100.0 * settings.margin
    )
}
