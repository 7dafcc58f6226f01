//! Starting the program anew, on memory that was made ready at the start.

use super::Restart;
use std::io;

/// What the new image is started with: program and arguments as they were, found while there was
/// memory to look for them.
#[cfg(unix)]
pub(in crate::governor) struct Image {
    program: std::ffi::CString,
    arguments: Vec<std::ffi::CString>,
    /// `arguments` as `execve` wants them, with a null at the end.
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the pointers name the heap buffers of `arguments`, which move with the value and are
// never changed.
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
        })
    }

    /// Restarts. Comes back only when the new image could not be started, with the `errno` value.
    ///
    /// Allocates nothing. `execve` ends all other threads wherever they are; the process keeps its
    /// id, its limits and its place among the control groups.
    pub(in crate::governor) fn restart(&self, how: Restart) -> i32 {
        debug_assert_eq!(self.pointers.len(), self.arguments.len() + 1);
        match how {
            // The program's file may have been replaced or removed since: then the one we run from.
            Restart::Exec => {
                self.execute(&self.program);
                self.execute(c"/proc/self/exe")
            }
            // SAFETY: ends the process; no handler and no destructor runs in this one.
            Restart::Exit(code) => unsafe { libc::_exit(code) },
            Restart::Abort => std::process::abort(),
        }
    }

    fn execute(&self, program: &std::ffi::CStr) -> i32 {
        // SAFETY: `program` and the arguments are NUL-terminated and outlive the call, the list of
        // arguments ends with a null, and `environ` is the process's environment. A thread that
        // changes the environment at this moment breaks `setenv`'s own contract.
        unsafe {
            libc::execve(program.as_ptr(), self.pointers.as_ptr(), environ);
        }
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
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

    pub(in crate::governor) fn restart(&self, how: Restart) -> i32 {
        match how {
            Restart::Exec => 0,
            Restart::Exit(code) => std::process::exit(code),
            Restart::Abort => std::process::abort(),
        }
    }
}
