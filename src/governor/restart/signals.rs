//! A request to end that comes at the last moment.
//!
//! A handler of the program's notes the request, and tells the monitor a moment later. What it notes
//! just before `execve` would be lost with the image. So shortly before, such signals get back the
//! effect that they have without a handler, as they do in the new image anyway until it has one:
//! from there on they end the process at once.

/// What the program had set for the signals that ask it to end.
#[cfg(unix)]
pub(in crate::governor) struct Caught {
    actions: [Option<libc::sigaction>; SIGNALS.len()],
}

/// By a service manager and by a terminal.
#[cfg(unix)]
const SIGNALS: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

#[cfg(unix)]
impl Caught {
    /// Takes the handlers away. `None` when there are none: then nothing can be under way.
    ///
    /// The first process of a container or a machine keeps its handlers, because without one it
    /// ignores the signal.
    pub(in crate::governor) fn let_go() -> Option<Caught> {
        let is_first = std::process::id() == 1;
        let actions = SIGNALS.map(|signal| let_go(signal, !is_first));
        actions
            .iter()
            .any(Option::is_some)
            .then_some(Caught { actions })
    }

    /// The restart did not come.
    pub(in crate::governor) fn put_back(self) {
        for (signal, action) in SIGNALS.into_iter().zip(self.actions) {
            if let Some(action) = action {
                // SAFETY: sets what was set before.
                unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
            }
        }
    }
}

/// The action of this signal, if it is a handler.
#[cfg(unix)]
fn let_go(signal: i32, really: bool) -> Option<libc::sigaction> {
    // SAFETY: all zero is a valid action: the default one, with an empty mask and without flags.
    let (default, mut action): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    // SAFETY: reads the action and changes nothing.
    if unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) } != 0
        || [libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
    {
        return None;
    }
    if really {
        // SAFETY: the default action runs none of our code.
        unsafe { libc::sigaction(signal, &default, std::ptr::null_mut()) };
    }
    Some(action)
}

/// There are no such signals elsewhere.
#[cfg(not(unix))]
pub(in crate::governor) struct Caught;

#[cfg(not(unix))]
impl Caught {
    pub(in crate::governor) fn let_go() -> Option<Caught> {
        None
    }

    pub(in crate::governor) fn put_back(self) {}
}
