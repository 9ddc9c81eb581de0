//! `icl doctor`: one line per requirement, with the fix.

use crate::cli::DoctorArguments;
use crate::console::say;
use crate::gpu;
use crate::host::{self, Host, first_line};
use crate::outcome::Outcome;
use crate::workspace::Workspace;
use icl_numerics::lanes::Isa;
use std::path::Path;

const NEEDED_DISK_GIB: f64 = 4.0;
const NEEDED_MEMORY_GIB: f64 = 2.0;

/// Runs the command.
pub(crate) fn doctor(workspace: &Workspace, arguments: &DoctorArguments) -> Outcome {
    let out = workspace.out(arguments.out.as_deref());
    let lines =
        [toolchain(workspace), compiler(), cores(), memory(), disk(&out), writable(&out), gpu()];
    for (name, good, text) in &lines {
        say!("{name:<10} {:<8} {text}", if *good { "ok" } else { "missing" });
    }
    let good = lines.iter().all(|(_, good, _)| *good);
    if good { Outcome::Reproduced } else { Outcome::Differs }
}

type Line = (&'static str, bool, String);

fn toolchain(workspace: &Workspace) -> Line {
    let pinned = std::fs::read_to_string(workspace.path("rust-toolchain.toml")).unwrap_or_default();
    let channel = pinned.lines().find_map(|line| line.strip_prefix("channel = "));
    let wanted = channel.unwrap_or("").trim_matches('"').to_owned();
    match first_line("rustc", &["--version"]) {
        Some(version) if version.contains(&wanted) => ("rustc", true, version),
        Some(version) => (
            "rustc",
            false,
            format!("{version}, expected {wanted}; run `rustup toolchain install {wanted}`"),
        ),
        None => ("rustc", false, "not found; install it from https://rustup.rs".into()),
    }
}

fn compiler() -> Line {
    match first_line("cc", &["--version"]) {
        Some(version) => ("cc", true, version),
        None => ("cc", false, "not found; install gcc or clang".into()),
    }
}

fn cores() -> Line {
    let names: Vec<&str> = Isa::available().map(Isa::name).collect();
    let cores = host::jobs(None);
    let limit = Host::own().processor_limit();
    let limit =
        limit.map_or(String::new(), |limit| format!(", of which a limit allows {limit:.1}"));
    let used = Isa::detect().name();
    ("cpu", true, format!("{cores} cores{limit}, {} (used: {used})", names.join(" ")))
}

fn memory() -> Line {
    let Some(gib) = Host::own().available_gib() else {
        return ("memory", true, "unknown on this system".into());
    };
    let fix =
        format!("; {NEEDED_MEMORY_GIB} GiB are needed: close other programs or raise the limit");
    let good = gib >= NEEDED_MEMORY_GIB;
    ("memory", good, format!("{gib:.1} GiB available{}", if good { "" } else { &fix }))
}

fn disk(out: &Path) -> Line {
    match host::free_disk_gib(&host::existing_folder(out)) {
        Some(gib) if gib >= NEEDED_DISK_GIB => ("disk", true, format!("{gib:.0} GiB free")),
        Some(gib) => (
            "disk",
            false,
            format!("{gib:.1} GiB free; {NEEDED_DISK_GIB} GiB are needed: free some or use --out"),
        ),
        None => ("disk", true, "unknown on this system".into()),
    }
}

/// Whether files can be created in the folder, or in the one in which it would be created.
fn writable(out: &Path) -> Line {
    let folder = host::existing_folder(out);
    let blocked = out.exists() && !out.is_dir();
    match artifact::output::check_folder_writable(&folder) {
        _ if blocked => {
            let text = format!("{}: found no folder, expected one; use --out", out.display());
            ("output", false, text)
        }
        Ok(()) if out.is_dir() => ("output", true, format!("{} is writable", out.display())),
        Ok(()) => ("output", true, format!("{} can be created", out.display())),
        Err(error) => ("output", false, error.to_string()),
    }
}

fn gpu() -> Line {
    let (good, text) = gpu::doctor_line(host::gpu().as_deref());
    ("gpu", good, text)
}
