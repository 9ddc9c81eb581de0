//! `icl doctor`: one line per requirement, with the fix.

use super::Outcome;
use crate::cli::DoctorArguments;
use crate::console::say;
use crate::workspace::Workspace;
use icl_numerics::lanes::Isa;
use serde_json::json;
use std::path::Path;
use std::process::Command;

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

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    output.status.success().then_some(text)
}

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
    let cores = super::run::jobs(None);
    ("cpu", true, format!("{cores} cores, {} (used: {})", names.join(" "), Isa::detect().name()))
}

fn memory() -> Line {
    let Some(gib) = meminfo_gib("MemAvailable:") else {
        return ("memory", true, "unknown on this system".into());
    };
    let fix = format!("; {NEEDED_MEMORY_GIB} GiB are needed: close other programs");
    let good = gib >= NEEDED_MEMORY_GIB;
    ("memory", good, format!("{gib:.1} GiB available{}", if good { "" } else { &fix }))
}

fn meminfo_gib(field: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0 / 1024.0)
}

fn disk(out: &Path) -> Line {
    let existing = out.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("."));
    let text = Command::new("df").arg("-Pk").arg(existing).output().ok();
    let free = text.and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let kib: f64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
        Some(kib / 1024.0 / 1024.0)
    });
    match free {
        Some(gib) if gib >= NEEDED_DISK_GIB => ("disk", true, format!("{gib:.0} GiB free")),
        Some(gib) => (
            "disk",
            false,
            format!("{gib:.1} GiB free; {NEEDED_DISK_GIB} GiB are needed: free some or use --out"),
        ),
        None => ("disk", true, "unknown on this system".into()),
    }
}

fn writable(out: &Path) -> Line {
    let probe = out.join("probe");
    let written = artifact::output::create_dir(out)
        .and_then(|()| artifact::output::write_atomically(&probe, b""));
    let _ = std::fs::remove_file(&probe);
    match written {
        Ok(()) => ("output", true, format!("{} is writable", out.display())),
        Err(error) => ("output", false, error.to_string()),
    }
}

fn gpu() -> Line {
    let query = ["--query-gpu=name", "--format=csv,noheader"];
    let found = first_line("nvidia-smi", &query).unwrap_or_else(|| "none".into());
    ("gpu", true, format!("{found}; not needed, every item runs on the CPU"))
}

/// Largest resident memory of this process so far.
pub(crate) fn peak_memory_mib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some((kib / 1024.0).round())
}

/// The processor's name.
pub(crate) fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) =
        text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "))?;
    Some(name.to_owned())
}

/// The host of a run, for `host.json`.
pub(crate) fn host() -> serde_json::Value {
    json!({
        "cpu": processor(),
        "cores": super::run::jobs(None),
        "instruction_sets": Isa::available().map(Isa::name).collect::<Vec<_>>(),
        "memory_gib": meminfo_gib("MemTotal:").map(f64::round),
        "system": std::fs::read_to_string("/proc/version").ok().map(|text| text.trim().to_owned()),
        "gpu": first_line("nvidia-smi", &["--query-gpu=name", "--format=csv,noheader"]),
    })
}
