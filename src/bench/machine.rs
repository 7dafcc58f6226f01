//! Where a report was made.

use serde::{Deserialize, Serialize};

/// The machine and the build of a [`Report`](super::Report): what has to be the same for times to be
/// compared. Which compiler it was, a program cannot know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// The processor's model, as the kernel names it; none where it does not.
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
    /// The machine that this runs on. Reads two small files of `/proc`.
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
    model(&cpus).or_else(|| line("/proc/device-tree/model"))
}

/// x86 has `model name`; 64-bit ARM has none, and the machine's model stands in the device tree.
fn model(cpus: &str) -> Option<String> {
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    };
    cpus.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::model;

    #[test]
    fn the_model_is_found_where_the_kernel_tells_it() {
        let x86 = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some(R) CPU @ 2.0GHz\n";
        assert_eq!(model(x86).as_deref(), Some("Some(R) CPU @ 2.0GHz"));
        assert_eq!(model("processor\t: 0\nCPU part\t: 0xd0c\n"), None);
    }
}
