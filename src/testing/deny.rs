//! Code that must not allocate.
//!
//! A panic must not start inside the allocator: it would unwind through code that does not expect
//! it. So what is forbidden is noted where it happens, with its stack, and the panic comes at the end of
//! the scope, on solid ground. Who wants to stop right there sets `PLIMSOLL_ABORT=1` or calls
//! [`aborting`](DenyAllocations::aborting): a debugger or a core dump then stands at the line.

use super::held::Held;
use super::measure::watched;
use super::text::{counted, number};
use super::trace::Trace;
use super::{Unseen, global};
use crate::allocator::scope::{Call, Observer};
use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::io::Write as _;
use std::panic::Location;
use std::rc::Rc;

thread_local! {
    /// Allowances of the thread so far: their numbers.
    static ALLOWANCES: Cell<u64> = const { Cell::new(0) };
    /// The innermost that lasts; 0 for none. Of those that last it was begun last.
    static ALLOWED_BY: Cell<u64> = const { Cell::new(0) };
}

/// What happened where it must not.
struct Denial {
    call: &'static str,
    bytes: usize,
    trace: Trace,
}

impl Denial {
    fn text(&self) -> String {
        let mut text = format!("{} of {} bytes at ", self.call, number(self.bytes as i128));
        let frames = self.trace.frames();
        text.push_str(&super::frame::site(&frames));
        text.push('\n');
        for frame in &frames {
            let _ = writeln!(text, "    {frame}");
        }
        text
    }
}

/// Stacks that are kept: the first is what one repairs first.
const KEPT: usize = 3;

#[derive(Default)]
struct Denied {
    first: RefCell<Vec<Denial>>,
    count: Cell<u64>,
    frees_too: Cell<bool>,
    aborts: Cell<bool>,
    /// The allowances that there had been when it was opened: they do not hold for it.
    opened_after: u64,
}

impl Observer for Denied {
    fn saw(&self, call: Call) {
        if ALLOWED_BY.get() > self.opened_after {
            return;
        }
        let (call, bytes) = match call {
            Call::Allocated { size, .. } => ("an allocation", size),
            Call::Moved { new, .. } => ("a reallocation", new),
            Call::Freed { size, .. } if self.frees_too.get() => ("a free", size),
            _ => return,
        };
        self.count.set(self.count.get() + 1);
        // A panic is on its way to be told: its message allocates.
        let is_last = self.aborts.get() && !std::thread::panicking();
        let mut first = self.first.borrow_mut();
        if first.len() == KEPT && !is_last {
            return;
        }
        let denial = Denial {
            call,
            bytes,
            trace: Trace::here(),
        };
        if is_last {
            abort(&denial);
        }
        first.push(denial);
    }
}

/// The program's last words, asked for by whoever debugs it. Not by `eprintln`, which a test's harness would keep
/// for later, and which panics where nobody listens: this is inside of the allocator.
fn abort(denial: &Denial) -> ! {
    let text = format!("no allocation was allowed, found {}\n", denial.text());
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::abort()
}

impl Denied {
    fn new() -> Rc<Denied> {
        let denied = Denied {
            opened_after: ALLOWANCES.get(),
            ..Denied::default()
        };
        denied
            .aborts
            .set(std::env::var_os("PLIMSOLL_ABORT").is_some_and(|value| value == "1"));
        Rc::new(denied)
    }

    fn complaint(&self, what: &str) -> Option<String> {
        let count = self.count.get();
        if count == 0 {
            return None;
        }
        let calls = counted(count, "call");
        let mut text = format!("{what}: expected none, found {calls} of the allocator\n");
        for denial in self.first.borrow().iter() {
            text.push_str(&denial.text());
        }
        Some(text)
    }
}

/// What [`no_alloc!`](crate::no_alloc) calls.
#[doc(hidden)]
#[track_caller]
pub fn no_alloc<R>(work: impl FnOnce() -> R) -> R {
    global::require("no_alloc!");
    let denied = Unseen::new(Denied::new);
    let (result, _) = watched(Some(Rc::<Denied>::clone(&denied)), work);
    let complaint = Unseen::new(|| denied.complaint("no_alloc!"));
    match &*complaint {
        Some(complaint) => panic!("{complaint}"),
        None => result,
    }
}

/// Asserts that a block neither allocates nor reallocates on this thread. Gives back its value.
/// Frees are allowed; [`deny_allocations`] can forbid them too.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// /// Reads `name=value` without a copy.
/// fn parse(line: &str) -> Option<(&str, u32)> {
///     let (name, value) = line.split_once('=')?;
///     Some((name.trim(), value.trim().parse().ok()?))
/// }
///
/// let found = plimsoll::no_alloc!({ parse("width = 640") });
/// assert_eq!(found, Some(("width", 640)));
/// ```
///
/// # Panics
///
/// At the line of the macro, after the block, when it allocated: with the line that did, and with
/// its stack (with the feature `testing`). Nothing panics inside the allocator. With
/// `PLIMSOLL_ABORT=1` in the environment the process aborts in the middle of the first allocation
/// instead, for a debugger. Also when [`Plimsoll`](crate::Plimsoll) is not the program's allocator.
///
/// # Cost
///
/// Under a microsecond when the block keeps to it.
#[macro_export]
macro_rules! no_alloc {
    ($work:expr $(,)?) => {
        $crate::testing::no_alloc(|| $work)
    };
}

/// Until the guard is dropped this thread must not allocate. What does is allowed to, and the guard's
/// end panics: at the drop, or at [`end`](DenyAllocations::end), whose line the panic then tells.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// use plimsoll::testing::{allow_allocations, deny_allocations};
///
/// let mut samples = Vec::with_capacity(512);
/// let denied = deny_allocations();
/// for sample in 0..512 {
///     samples.push(sample);
/// }
/// allow_allocations(|| println!("{} samples", samples.len()));
/// denied.end();
/// ```
///
/// # Panics
///
/// When [`Plimsoll`](crate::Plimsoll) is not the program's allocator; and see above. A guard that is
/// dropped by a panic adds none of its own.
#[track_caller]
pub fn deny_allocations() -> DenyAllocations {
    global::require("deny_allocations");
    let denied = Unseen::new(Denied::new);
    DenyAllocations {
        held: Some(Held::open(Rc::<Denied>::clone(&denied))),
        denied,
        opened: Location::caller(),
    }
}

/// Forbids this thread to allocate until it is dropped. Made by [`deny_allocations`].
#[must_use = "allocations are denied until this is dropped"]
pub struct DenyAllocations {
    /// Until it is closed.
    held: Option<Held>,
    denied: Unseen<Rc<Denied>>,
    opened: &'static Location<'static>,
}

impl std::fmt::Debug for DenyAllocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DenyAllocations")
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

impl DenyAllocations {
    /// Forbids frees as well: a free may take a lock and give pages back.
    pub fn and_frees(self) -> DenyAllocations {
        self.denied.frees_too.set(true);
        self
    }

    /// Aborts the process in the middle of the first forbidden call, after printing its stack, so
    /// that a debugger or a core dump stands there. `PLIMSOLL_ABORT=1` in the environment does it
    /// for all scopes.
    pub fn aborting(self) -> DenyAllocations {
        self.denied.aborts.set(true);
        self
    }

    /// How many forbidden calls there have been.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.denied.count.get()
    }

    /// Ends the scope, as dropping does, with the panic at the caller's line.
    ///
    /// # Panics
    ///
    /// When something forbidden was done.
    #[track_caller]
    pub fn end(mut self) {
        if let Some(complaint) = self.close() {
            panic!("{complaint}");
        }
    }

    fn close(&mut self) -> Option<Unseen<String>> {
        drop(self.held.take()?);
        let complaint = || {
            let what = format!("deny_allocations since {}", self.opened);
            self.denied.complaint(&what)
        };
        Unseen::new(complaint).transpose()
    }
}

impl Drop for DenyAllocations {
    fn drop(&mut self) {
        if let Some(complaint) = self.close()
            && !std::thread::panicking()
        {
            panic!("{complaint}");
        }
    }
}

/// Runs `work` where allocations are denied, and allows it to allocate. Elsewhere it changes nothing, nor for what is
/// denied in `work` itself.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// plimsoll::no_alloc!({
///     plimsoll::testing::allow_allocations(|| drop(std::hint::black_box(vec![0u8; 100])));
/// });
/// ```
pub fn allow_allocations<R>(work: impl FnOnce() -> R) -> R {
    struct Back(u64);
    impl Drop for Back {
        fn drop(&mut self) {
            ALLOWED_BY.set(self.0);
        }
    }
    let number = ALLOWANCES.get() + 1;
    ALLOWANCES.set(number);
    let _back = Back(ALLOWED_BY.replace(number));
    work()
}
