//! The commands, one file each.

mod bench;
mod bench_bert;
mod bless;
mod claims;
mod completions;
mod doctor;
mod document;
#[cfg(test)]
mod emulated;
mod expected;
mod findings;
mod floor;
mod gallery;
mod gaps;
mod glue;
mod lens;
mod list;
mod report;
mod roofline;
mod run;
mod show;
mod train;
mod verify;

use crate::cli::{Arguments, BenchCommand, Command, IsaChoice};
use crate::outcome::Outcome;
use crate::signals;
use crate::workspace::Workspace;
use icl_model::device::Device;

/// Runs the chosen command.
pub(crate) fn dispatch(arguments: Arguments) -> anyhow::Result<Outcome> {
    signals::watch()?;
    let isa = IsaChoice::resolve(arguments.isa)?;
    let device = Device::Cpu(isa);
    let workspace = || Workspace::find(arguments.root.as_deref());
    match arguments.command {
        Command::List(list) => list::list(&workspace()?, &list),
        Command::Show(show) => show::show(&workspace()?, &show, device),
        Command::Run(run) => run::run(&workspace()?, &run, isa),
        Command::Verify(verify) => verify::verify(&workspace()?, &verify, device),
        Command::Lens(lens) => lens::lens(&lens, isa),
        Command::Train(train) => train::train(&train, device),
        Command::Floor(arguments) => floor::floor(&arguments),
        Command::Glue(command) => glue::glue(&command, device),
        Command::Bench(BenchCommand::Step(step)) => bench::step(&step, device),
        Command::Bench(BenchCommand::Bert(bert)) => bench_bert::bert(&bert, device),
        Command::Bench(BenchCommand::Roofline(roofline)) => {
            roofline::roofline(&workspace()?, &roofline, isa)
        }
        Command::Doctor(doctor) => Ok(doctor::doctor(&workspace()?, &doctor)),
        Command::Report(report) => report::report(&workspace()?, &report),
        Command::Completions(wanted) => completions::completions(wanted.shell),
        Command::Man => completions::man(),
        Command::Bless(bless) => bless::bless(&workspace()?, &bless),
        Command::Document(document) => document::document(&workspace()?, &document),
    }
}
