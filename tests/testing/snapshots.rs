use crate::block;
use crate::panics::panic_of;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A crate's folder with one snapshot in it.
struct Krate {
    folder: tempfile::TempDir,
}

impl Krate {
    fn with(text: Option<&str>) -> Krate {
        let folder = tempfile::tempdir().unwrap();
        let krate = Krate { folder };
        if let Some(text) = text {
            fs::create_dir_all(krate.file().parent().unwrap()).unwrap();
            fs::write(krate.file(), text).unwrap();
        }
        krate
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("tests/snapshots/a name.heap")
    }

    fn hold(&self, work: impl FnOnce()) {
        plimsoll::testing::snapshot(self.path().to_str().unwrap(), "a name", work);
    }

    fn trouble(&self) -> String {
        let (message, _) = panic_of(|| self.hold(|| drop(block(100))));
        message
    }
}

#[test]
fn what_is_committed_holds() {
    let text = plimsoll::assert_snapshot!("a committed one", {
        drop(block(100));
        block(20)
    });
    assert_eq!(text.len(), 20);
}

#[test]
fn a_figure_is_a_number_or_a_range_and_what_is_left_out_is_not_compared() {
    Krate::with(Some(
        "# by hand\nallocations = ..=2\n\npeak_bytes = 50..=1_000\n",
    ))
    .hold(|| drop(block(100)));
}

#[test]
fn a_figure_that_differs_is_shown_with_its_difference() {
    let message =
        Krate::with(Some("allocations = 3\nnet_bytes = 0\npeak_bytes = ..100\n")).trouble();
    assert!(
        message.contains("  - allocations = 3\n  + allocations = 1   (-2)\n"),
        "{message}"
    );
    assert!(message.contains("    net_bytes = 0\n"), "{message}");
    assert!(
        message.contains("  - peak_bytes = ..100\n  + peak_bytes = 100\n"),
        "{message}"
    );
    assert!(message.contains("tests/testing/snapshots.rs:"), "{message}");
}

#[test]
fn a_missing_file_is_an_error_that_shows_what_would_be_written() {
    let krate = Krate::with(None);
    let message = krate.trouble();
    assert!(message.contains("is not there"), "{message}");
    assert!(message.contains("allocated_bytes = 100\n"), "{message}");
    assert!(!krate.file().exists());
}

#[test]
fn a_damaged_file_is_an_error_with_its_line() {
    for (text, line, what) in [
        (
            "allocations = 1\nalocations = 2\n",
            2,
            "expected one of allocations",
        ),
        ("allocations 1\n", 1, "expected `figure = number or range`"),
        ("allocations = some\n", 1, "expected a number or a range"),
        (
            "allocations = 1\nallocations = 1\n",
            2,
            "expected `allocations` once",
        ),
        ("# nothing\n", 2, "expected at least one figure"),
    ] {
        let message = Krate::with(Some(text)).trouble();
        assert!(
            message.contains(&format!("a name.heap:{line} is damaged: {what}")),
            "{message}"
        );
    }
    let krate = Krate::with(Some(""));
    fs::write(krate.file(), [0xff, 0xfe, 0]).unwrap();
    assert!(krate.trouble().contains("cannot be read"));
}

#[test]
fn a_name_stays_inside_its_folder() {
    for name in ["", "../a", "a/b", ".hidden", "a\nb"] {
        let (message, _) = panic_of(|| plimsoll::testing::snapshot("/tmp", name, || ()));
        assert!(
            message.contains("the name of a snapshot has letters"),
            "{message}"
        );
    }
}

const FOLDER: &str = "PLIMSOLL_TEST_RENEWS";

/// The test below in a process of its own: its environment says to renew.
#[test]
fn renewed() {
    if let Ok(folder) = std::env::var(FOLDER) {
        plimsoll::testing::snapshot(&folder, "a name", || drop(block(100)));
    }
}

fn renew(krate: &Krate) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["snapshots::renewed", "--exact", "--nocapture"])
        .env("PLIMSOLL_UPDATE", "1")
        .env(FOLDER, krate.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), words)
}

#[test]
fn renewing_writes_a_missing_file_and_then_it_holds() {
    let krate = Krate::with(None);
    assert!(renew(&krate).0);
    krate.hold(|| drop(block(100)));
    assert!(
        fs::read_to_string(krate.file())
            .unwrap()
            .contains("peak_bytes = 100\n")
    );
    let beside = fs::read_dir(krate.file().parent().unwrap())
        .unwrap()
        .count();
    assert_eq!(beside, 1, "nothing is left beside it");
}

#[test]
fn renewing_keeps_what_holds_and_what_was_written_by_hand() {
    let krate = Krate::with(Some("# mine\nallocations = ..=5\nallocated_bytes = 7\n"));
    assert!(renew(&krate).0);
    let text = fs::read_to_string(krate.file()).unwrap();
    assert_eq!(text, "# mine\nallocations = ..=5\nallocated_bytes = 100\n");
}

#[test]
fn renewing_does_not_write_over_a_damaged_file() {
    let krate = Krate::with(Some("allocations: 1\n"));
    let (fine, words) = renew(&krate);
    assert!(!fine && words.contains("is damaged"), "{words}");
    assert_eq!(
        fs::read_to_string(krate.file()).unwrap(),
        "allocations: 1\n"
    );
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_its_path() {
    let krate = Krate::with(None);
    // A link to nowhere where the folder should be: not even the superuser gets past that.
    std::os::unix::fs::symlink("/nowhere/at/all", krate.path().join("tests")).unwrap();
    let (fine, words) = renew(&krate);
    assert!(
        !fine && words.contains("a name.heap cannot be written"),
        "{words}"
    );
}
