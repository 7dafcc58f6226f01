//! Starting the program anew, on memory that was made ready at the start.

use super::Restart;
#[cfg(unix)]
use super::inherited::{Blocked, Inherited};
use super::listeners::Listeners;
use std::io;

/// Variables that the environment may have gained since the start.
#[cfg(unix)]
const SPARE: usize = 4096;

/// What the new image is started with: program and arguments as they were, found while there was
/// memory to look for them.
#[cfg(unix)]
pub(in crate::governor) struct Image {
    program: std::ffi::CString,
    arguments: Vec<std::ffi::CString>,
    /// `arguments` as `execve` wants them, with a null at the end.
    pointers: Vec<*const libc::c_char>,
    /// Room for the environment as it is by then.
    environment: Vec<*const libc::c_char>,
    /// When it was prepared.
    blocked: Blocked,
}

// SAFETY: the pointers name the heap buffers of `arguments`, which move with the value and are
// never changed; those of the environment are only there during `execute`.
#[cfg(unix)]
unsafe impl Send for Image {}

#[cfg(unix)]
unsafe extern "C" {
    /// The environment as it is at the time.
    static environ: *const *const libc::c_char;
}

#[cfg(unix)]
impl Image {
    pub(in crate::governor) fn prepare() -> io::Result<Image> {
        use std::os::unix::ffi::OsStringExt;
        let whole = |text: std::ffi::OsString| {
            std::ffi::CString::new(text.into_vec()).map_err(io::Error::from)
        };
        let program = whole(std::env::current_exe()?.into_os_string())?;
        let arguments = std::env::args_os()
            .map(whole)
            .collect::<io::Result<Vec<_>>>()?;
        let pointers = arguments
            .iter()
            .map(|argument| argument.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        Ok(Image {
            program,
            arguments,
            pointers,
            environment: Vec::with_capacity(std::env::vars_os().count() + SPARE),
            blocked: Blocked::by_main_thread(),
        })
    }

    /// Restarts. Comes back only when the new image could not be started, with the `errno` value.
    ///
    /// Allocates nothing. `execve` ends all other threads wherever they are; the process keeps its
    /// id, its limits and its place among the control groups.
    pub(in crate::governor) fn restart(&mut self, how: Restart, listeners: &Listeners) -> i32 {
        debug_assert_eq!(self.pointers.len(), self.arguments.len() + 1);
        match how {
            Restart::Exec => self.execute(listeners),
            // SAFETY: ends the process; no handler and no destructor runs in this one.
            Restart::Exit(code) => unsafe { libc::_exit(code) },
            Restart::Abort => std::process::abort(),
        }
    }

    fn execute(&mut self, listeners: &Listeners) -> i32 {
        let code = |error: io::Error| error.raw_os_error().unwrap_or(0);
        self.take_environment(listeners);
        // Before the sockets go where other threads may have something else: it takes milliseconds.
        let inherited = Inherited::from_main_thread(self.blocked);
        let moved = match listeners.put_in_place() {
            Ok(moved) => moved,
            Err(error) => {
                inherited.put_back();
                return code(error);
            }
        };
        // The program's file may have been replaced or removed since: then the one we run from.
        for program in [self.program.as_c_str(), c"/proc/self/exe"] {
            // SAFETY: program, arguments and variables are NUL-terminated and outlive the call, and
            // both lists end with a null. A thread that changes the environment at this moment
            // breaks `setenv`'s own contract.
            unsafe {
                libc::execve(
                    program.as_ptr(),
                    self.pointers.as_ptr(),
                    self.environment.as_ptr(),
                );
            }
        }
        let failed = code(io::Error::last_os_error());
        moved.undo();
        inherited.put_back();
        failed
    }

    /// The environment as it is, with our own sockets and not those that this image was given.
    fn take_environment(&mut self, listeners: &Listeners) {
        let own = listeners.variables();
        self.environment.clear();
        // SAFETY: `environ` is null or a list of NUL-terminated strings that ends with a null.
        unsafe {
            let mut next = environ;
            // Room for our own and the null is kept; the allocation is never exceeded.
            while !next.is_null()
                && !(*next).is_null()
                && self.environment.len() + own.len() + 1 < self.environment.capacity()
            {
                let variable = std::ffi::CStr::from_ptr(*next).to_bytes();
                let stale = [&b"LISTEN_PID="[..], b"LISTEN_FDS=", b"LISTEN_FDNAMES="]
                    .iter()
                    .any(|name| variable.starts_with(name));
                if !stale {
                    self.environment.push(*next);
                }
                next = next.add(1);
            }
        }
        let own = own.iter().map(|variable| variable.as_ptr());
        self.environment.extend(own.chain([std::ptr::null()]));
    }
}

/// Without `execve` there is only the end of the process.
#[cfg(not(unix))]
pub(in crate::governor) struct Image;

#[cfg(not(unix))]
impl Image {
    pub(in crate::governor) fn prepare() -> io::Result<Image> {
        Ok(Image)
    }

    pub(in crate::governor) fn restart(&mut self, how: Restart, _listeners: &Listeners) -> i32 {
        match how {
            Restart::Exec => 0,
            Restart::Exit(code) => std::process::exit(code),
            Restart::Abort => std::process::abort(),
        }
    }
}
