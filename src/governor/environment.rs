//! Variables of the environment that say where to write, or how to allocate.

use std::ffi::OsString;

/// A variable's value, unless the program has rights that who started it lacks (set-user-id,
/// set-group-id, file capabilities): that one would write with them.
pub(super) fn variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    if has_more_rights() {
        tracing::warn!(
            name,
            "ignored: this program has rights that who started it lacks"
        );
        return None;
    }
    Some(value)
}

#[cfg(target_os = "linux")]
fn has_more_rights() -> bool {
    // SAFETY: reads a number that the kernel gave this process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn has_more_rights() -> bool {
    // SAFETY: no arguments, no effect, cannot fail.
    unsafe { libc::getuid() != libc::geteuid() || libc::getgid() != libc::getegid() }
}

#[cfg(not(unix))]
fn has_more_rights() -> bool {
    false
}
