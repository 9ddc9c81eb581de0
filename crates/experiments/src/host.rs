//! What this host, or the container that it is, leaves to the program: memory, processor time, disk.

use icl_numerics::lanes::Isa;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// The files that the system shows, below `/`, or below another folder in tests.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    root: PathBuf,
}

impl Host {
    /// This host.
    pub(crate) fn own() -> Self {
        Self { root: PathBuf::from("/") }
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    /// A field of `/proc/meminfo` in GiB.
    pub(crate) fn meminfo_gib(&self, field: &str) -> Option<f64> {
        let text = self.read("proc/meminfo")?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024.0 / 1024.0)
    }

    /// The folders of a controller of control groups that hold this process, the innermost first; version 2
    /// has one tree for all controllers.
    fn groups(&self, controller: &str) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for line in self.read("proc/self/cgroup").unwrap_or_default().lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let mount = match names {
                "" => "sys/fs/cgroup".to_owned(),
                names if names.split(',').any(|name| name == controller) => {
                    format!("sys/fs/cgroup/{controller}")
                }
                _ => continue,
            };
            let own = Path::new(path.trim_start_matches('/'));
            // a container sees its own group as the tree's root, whatever the path says
            folders.extend(own.ancestors().map(|part| self.root.join(&mount).join(part)));
        }
        folders
    }

    /// GiB that control groups leave to this process: the least of limit minus what is in use and cannot be
    /// given back.
    fn group_memory_gib(&self) -> Option<f64> {
        let number = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<f64>().ok();
        let left = |folder: PathBuf| {
            let limit = number(folder.join("memory.max"))
                .or_else(|| number(folder.join("memory.limit_in_bytes")))?;
            let used = number(folder.join("memory.current"))
                .or_else(|| number(folder.join("memory.usage_in_bytes")))
                .unwrap_or(0.0);
            let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let cache = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
            let cache: f64 = cache.and_then(|text| text.trim().parse().ok()).unwrap_or(0.0);
            Some((limit - used + cache) / GIB)
        };
        least(self.groups("memory").into_iter().filter_map(left))
    }

    /// GiB that a program can still use; none if the system does not say.
    pub(crate) fn available_gib(&self) -> Option<f64> {
        least(self.meminfo_gib("MemAvailable:").into_iter().chain(self.group_memory_gib()))
    }

    /// Processors' worth of time that control groups allow; none without a limit.
    pub(crate) fn processor_limit(&self) -> Option<f64> {
        let limit = |folder: PathBuf| {
            let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
            let (quota, period) = match read("cpu.max") {
                Some(text) => {
                    let (quota, period) = text.trim().split_once(' ')?;
                    (quota.to_owned(), period.to_owned())
                }
                None => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
            };
            let (quota, period): (f64, f64) =
                (quota.trim().parse().ok()?, period.trim().parse().ok()?);
            (quota > 0.0 && period > 0.0).then_some(quota / period)
        };
        least(self.groups("cpu").into_iter().filter_map(limit))
    }

    /// Largest resident memory of this process so far.
    pub(crate) fn peak_memory_mib(&self) -> Option<f64> {
        let text = self.read("proc/self/status")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some((kib / 1024.0).round())
    }

    /// The processor's name.
    pub(crate) fn processor(&self) -> Option<String> {
        let text = self.read("proc/cpuinfo")?;
        let (_, name) =
            text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "))?;
        Some(name.to_owned())
    }
}

fn least(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    numbers.into_iter().min_by(f64::total_cmp)
}

/// The nearest folder at or above `path` that exists.
pub(crate) fn existing_folder(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|folder| folder.is_dir());
    let found = found.filter(|folder| !folder.as_os_str().is_empty());
    found.unwrap_or(Path::new(".")).to_owned()
}

/// GiB that this user can still write to the file system of a folder.
#[cfg(unix)]
pub(crate) fn free_disk_gib(folder: &Path) -> Option<f64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail as f64 * found.f_frsize as f64 / GIB)
}

/// Unknown on other systems.
#[cfg(not(unix))]
pub(crate) fn free_disk_gib(_: &Path) -> Option<f64> {
    None
}

/// The number of threads asked for, or of cores.
pub(crate) fn jobs(asked: Option<u16>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or_else(cores, usize::from)
}

/// First line of what a program prints, if it can be run and succeeds.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    output.status.success().then_some(text)
}

/// Card, driver, compute capability and memory of the first GPU, as the driver's tool says them.
pub(crate) fn gpu() -> Option<String> {
    let fields = "--query-gpu=name,driver_version,compute_cap,memory.total";
    first_line("nvidia-smi", &[fields, "--format=csv,noheader"])
}

/// The host of a run, for `host.json`.
pub(crate) fn describe() -> serde_json::Value {
    let host = Host::own();
    json!({
        "cpu": host.processor(),
        "cores": jobs(None),
        "instruction_sets": Isa::available().map(Isa::name).collect::<Vec<_>>(),
        "memory_gib": host.meminfo_gib("MemTotal:").map(f64::round),
        "system": std::fs::read_to_string("/proc/version").ok().map(|text| text.trim().to_owned()),
        "gpu": gpu(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host whose files say what the list says.
    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = dir.path().to_owned();
        (dir, Host { root })
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:       67108864 kB\nMemAvailable:   33554432 kB\n");

    #[test]
    fn without_groups_the_host_decides() {
        let (_dir, host) = host(&[MEMINFO]);
        assert_eq!(host.available_gib(), Some(32.0));
        assert_eq!(host.processor_limit(), None);
    }

    #[test]
    fn limits_of_version_2_hold_at_every_level() {
        let (_dir, host) = host(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/slice/pod/box\n"),
            ("sys/fs/cgroup/slice/pod/box/memory.max", "max\n"),
            ("sys/fs/cgroup/slice/pod/box/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/slice/pod/memory.max", "4294967296\n"),
            ("sys/fs/cgroup/slice/pod/memory.current", "3221225472\n"),
            ("sys/fs/cgroup/slice/pod/memory.stat", "anon 1\ninactive_file 1073741824\n"),
            ("sys/fs/cgroup/slice/cpu.max", "150000 100000\n"),
        ]);
        assert_eq!(host.available_gib(), Some(2.0));
        assert_eq!(host.processor_limit(), Some(1.5));
    }

    #[test]
    fn limits_of_version_1_are_read_also_where_the_path_is_the_hosts() {
        let (_dir, host) = host(&[
            MEMINFO,
            (
                "proc/self/cgroup",
                "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(host.available_gib(), Some(1.0));
        assert_eq!(host.processor_limit(), Some(0.5));
    }

    #[test]
    fn limits_that_are_none_do_not_count() {
        let (_dir, host) = host(&[
            MEMINFO,
            ("proc/self/cgroup", "5:memory:/\n4:cpu:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(host.available_gib(), Some(32.0));
        assert_eq!(host.processor_limit(), None);
    }

    #[test]
    fn a_folder_that_is_not_there_is_judged_by_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(existing_folder(&dir.path().join("a/b")), dir.path());
        assert_eq!(existing_folder(Path::new("no-such-folder")), Path::new("."));
        assert!(free_disk_gib(dir.path()).is_none_or(|gib| gib > 0.0));
    }
}
