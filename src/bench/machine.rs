//! Where a report was made.

use serde::{Deserialize, Serialize};

/// The machine and the build of a [`Report`](super::Report). Processor, system, architecture and build have to be
/// the same for times to be compared, which [`compare`](super::compare) looks at; the rest is for people. Which
/// compiler it was, a program cannot know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// The processor's model as the kernel names it, or the numbers of its maker and its core; none
    /// where it tells neither.
    pub processor: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// `linux`, `macos` and so on.
    pub os: String,
    /// The kernel's release; none where it is not known.
    pub os_release: Option<String>,
    /// `x86_64`, `aarch64` and so on.
    pub architecture: String,
    /// Whether debug assertions are on in this crate: then times tell little.
    pub debug_assertions: bool,
}

impl Machine {
    /// The machine that this runs on. Reads two or three files of
    /// `/proc`, one of which has a kilobyte or two for each processor.
    pub fn this() -> Machine {
        Machine {
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: std::env::consts::OS.to_owned(),
            os_release: line("/proc/sys/kernel/osrelease"),
            architecture: std::env::consts::ARCH.to_owned(),
            debug_assertions: cfg!(debug_assertions),
        }
    }
}

fn line(file: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn processor() -> Option<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    value(&cpus, "model name")
        .or_else(|| line("/proc/device-tree/model"))
        .or_else(|| core(&cpus))
}

/// 64-bit ARM tells no `model name`, and servers of it have no device tree.
fn core(cpus: &str) -> Option<String> {
    let (implementer, part) = (value(cpus, "CPU implementer")?, value(cpus, "CPU part")?);
    Some(format!("implementer {implementer}, part {part}"))
}

fn value(cpus: &str, wanted: &str) -> Option<String> {
    cpus.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == wanted).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::{core, value};

    #[test]
    fn the_model_is_found_where_the_kernel_tells_it() {
        let x86 = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some(R) CPU @ 2.0GHz\n";
        let found = value(x86, "model name");
        assert_eq!(found.as_deref(), Some("Some(R) CPU @ 2.0GHz"));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(value(arm, "model name"), None);
        assert_eq!(core(arm).as_deref(), Some("implementer 0x41, part 0xd0c"));
        assert_eq!(core(x86), None);
    }
}
