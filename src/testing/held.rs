//! Who closes a scope: a frame on the stack, or a guard that may be moved and dropped at any time.

use crate::allocator::block::Totals;
use crate::allocator::scope::{Observer, Scope, unseen};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;

/// Closes a scope on the stack, also when its work unwinds.
pub(super) struct Open<'a>(&'a Scope);

impl<'a> Open<'a> {
    /// # Safety
    ///
    /// What this answers is closed or dropped before the scope dies, and so not forgotten.
    pub(super) unsafe fn new(scope: &'a Scope) -> Open<'a> {
        // SAFETY: the scope is borrowed for as long as this lives, so it stays in its place, and by
        // the caller's promise `end` runs before it dies. A reference is not `Send` here, `Scope`
        // having cells.
        unsafe { scope.begin() };
        Open(scope)
    }

    pub(super) fn close(self) -> (Totals, u64) {
        let figures = self.0.end();
        std::mem::forget(self);
        figures
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A scope in memory of its own. It closes when it is dropped; forgotten, it stays open for as long
/// as its thread lives.
#[derive(Debug)]
pub(super) struct Held {
    scope: NonNull<Scope>,
    /// The scope is on its thread's list.
    _of_this_thread: PhantomData<*const ()>,
}

impl Held {
    pub(super) fn open(observer: Rc<dyn Observer>) -> Held {
        let scope = unseen(|| Box::leak(Box::new(Scope::watched(Some(observer)))));
        // SAFETY: leaked, so it stays where it is until `drop` has ended it.
        unsafe { scope.begin() };
        Held {
            scope: NonNull::from(scope),
            _of_this_thread: PhantomData,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: leaked in `open`, and freed nowhere but below.
        unsafe { self.scope.as_ref() }.end();
        // SAFETY: leaked in `open`; off the thread's list now, so nobody else has its address.
        unseen(|| drop(unsafe { Box::from_raw(self.scope.as_ptr()) }));
    }
}
