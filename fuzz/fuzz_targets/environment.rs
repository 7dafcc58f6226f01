//! What the environment, the program and an operator set: arbitrary values never panic, what is
//! accepted is within its range, and a fault names the setting, its value and what was expected.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plimsoll::figures::Roots;
use plimsoll::{Levels, MonitorBuilder, Policy, Threshold};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

/// What is named is written to: a file in memory, so that it is no other.
static FILE: LazyLock<File> = LazyLock::new(|| {
    // SAFETY: makes a descriptor that is ours.
    let descriptor = unsafe { libc::memfd_create(c"watched".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(descriptor >= 0);
    // SAFETY: just made, and nobody else's.
    unsafe { File::from_raw_fd(descriptor) }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&which, value)) = bytes.split_first() else {
        return;
    };
    match which % 5 {
        0 => memory_pressure(value),
        1 => notify_socket(value),
        2 => listen_fdnames(value),
        3 => policy(value),
        _ => builder(value),
    }
});

/// `MEMORY_PRESSURE_WATCH` and `MEMORY_PRESSURE_WRITE`.
fn memory_pressure(value: &[u8]) {
    FILE.set_len(0).unwrap();
    let file = PathBuf::from(format!("/proc/self/fd/{}", FILE.as_raw_fd()));
    // No pressure files here, so that only what is named can be a source.
    let roots = Roots::new("/nonexistent", "/nonexistent");
    let watch = |path: &Path, write| {
        plimsoll::fuzz_wake(&roots, path, write).map_err(|error| error.to_string())
    };
    match watch(&file, value) {
        Ok(sources) => {
            assert_eq!(sources, 1);
            let mut written = vec![0; FILE.metadata().unwrap().len() as usize];
            FILE.read_exact_at(&mut written, 0).unwrap();
            // There is one way to write it in Base64, and it is this one.
            assert_eq!(STANDARD.encode(written).as_bytes(), value);
        }
        Err(said) => {
            assert!(STANDARD.decode(value).is_err());
            assert!(said.contains("`MEMORY_PRESSURE_WRITE` is "), "{said}");
            assert!(said.ends_with(": expected Base64"), "{said}");
        }
    }
    assert_eq!(watch(Path::new("/nonexistent/file"), b""), Ok(0));
    assert_eq!(watch(Path::new("/dev/null"), value), Ok(0));
    // An absolute path could be any file of the machine.
    if value.first() != Some(&b'/') {
        let said = watch(Path::new(OsStr::from_bytes(value)), b"").unwrap_err();
        assert!(said.contains("`MEMORY_PRESSURE_WATCH` is "), "{said}");
        assert!(said.contains(": expected an absolute path"), "{said}");
    }
}

fn notify_socket(name: &[u8]) {
    // The room for a path in an address, with a zero at its end.
    let fits = matches!(name.first(), Some(b'/' | b'@')) && name.len() < 108;
    match plimsoll::fuzz_notify(name) {
        Ok(()) => assert!(fits),
        Err(said) => {
            assert!(!fits, "{said}");
            let named = format!("NOTIFY_SOCKET is {:?}", String::from_utf8_lossy(name));
            assert!(said.starts_with(&named), "{said}");
            assert!(said.contains(": expected "), "{said}");
        }
    }
}

/// `LISTEN_FDS` and `LISTEN_FDNAMES` for a next image, from the names of sockets.
fn listen_fdnames(value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    // Some more than can be handed over.
    let names: Vec<&str> = text.split('\n').take(80).collect();
    let (refused, variables) = plimsoll::fuzz_names(&names);
    for error in &refused {
        let said = error.to_string();
        assert!(
            said.contains(": expected ") || said.contains("more than 64 sockets"),
            "{said}"
        );
    }
    let Some(all) = variables.get(2) else {
        assert_eq!(refused.len(), names.len());
        return;
    };
    let all = all
        .to_str()
        .unwrap()
        .strip_prefix("LISTEN_FDNAMES=")
        .unwrap();
    let given: Vec<&str> = all.split(':').collect();
    let count = format!("LISTEN_FDS={}", given.len());
    assert_eq!(variables[1].to_str().unwrap(), count);
    let mut distinct = given.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), given.len());
    assert!(given.len() <= 64 && given.iter().all(|name| names.contains(name)));
}

/// The body of a change of the policy.
fn policy(body: &[u8]) {
    match plimsoll::http::fuzz_policy(body) {
        Ok(policy) => assert!(makes_sense(&policy), "{policy:?}"),
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(fault.starts_with('`') && fault.contains(" is "), "{fault}");
                assert!(fault.contains(": expected "), "{fault}");
            }
        }
    }
}

/// All of a builder's numbers, from as many bytes as they take.
fn builder(value: &[u8]) {
    let mut bytes = value.iter().copied();
    let mut number = || u64::from_be_bytes(std::array::from_fn(|_| bytes.next().unwrap_or(0)));
    let limit = number();
    let interval = duration(number());
    let history = number() as usize;
    let path_length = number() % 512;
    let mut policy = Policy::default();
    policy.budget_per_hour = number() as u32;
    for time in [
        &mut policy.cooldown,
        &mut policy.sustained,
        &mut policy.horizon,
        &mut policy.check_interval,
        &mut policy.drain_deadline,
    ] {
        *time = duration(number());
    }
    let Levels {
        optimise,
        restart,
        critical,
    } = &mut policy.levels;
    for Threshold { enter, leave } in [optimise, restart, critical] {
        *enter = f64::from_bits(number());
        *leave = f64::from_bits(number());
    }
    let builder = MonitorBuilder::default()
        .limit(limit)
        .interval(interval)
        .history(history)
        .state_file("x".repeat(path_length as usize))
        .restart_budget(policy.budget_per_hour)
        .cooldown(policy.cooldown)
        .sustained(policy.sustained)
        .restart_horizon(policy.horizon)
        .restart_check_interval(policy.check_interval)
        .drain(policy.drain_deadline, drop)
        .levels(policy.levels);
    let can_start = limit > 0
        && (Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&interval)
        && history <= 100_000
        && path_length <= 360
        && makes_sense(&policy);
    let faults = builder.fuzz_faults();
    assert_eq!(faults.is_empty(), can_start, "{faults:?}");
    for fault in faults {
        assert!(!fault.value.is_empty() && !fault.expected.is_empty());
        let said = format!(
            "`{}` is {}: expected {}",
            fault.setting, fault.value, fault.expected
        );
        assert_eq!(fault.to_string(), said);
    }
}

/// Nanoseconds, or in every other case as many seconds.
fn duration(number: u64) -> Duration {
    match number % 2 {
        0 => Duration::from_nanos(number),
        _ => Duration::from_secs(number),
    }
}

/// Written so that NaN makes none.
fn makes_sense(policy: &Policy) -> bool {
    let Levels {
        optimise,
        restart,
        critical,
    } = policy.levels;
    let lines = [optimise, restart, critical];
    (1..=1000).contains(&policy.budget_per_hour)
        && policy.drain_deadline <= Duration::from_secs(3600)
        && lines
            .iter()
            .all(|line| 0.0 < line.leave && line.leave < line.enter && line.enter <= 1.0)
        && lines
            .windows(2)
            .all(|two| two[0].enter < two[1].enter && two[0].leave <= two[1].leave)
}
