//! What the measuring itself keeps.

use crate::allocator::scope::unseen;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// Made unseen and dropped unseen, also when what is measured unwinds: a scope around sees neither.
pub(super) struct Unseen<T>(ManuallyDrop<T>);

impl<T> Unseen<T> {
    pub(super) fn new(make: impl FnOnce() -> T) -> Unseen<T> {
        Unseen(ManuallyDrop::new(unseen(make)))
    }
}

impl<T> Unseen<Option<T>> {
    pub(super) fn transpose(mut self) -> Option<Unseen<T>> {
        let inner = self.take()?;
        Some(Unseen(ManuallyDrop::new(inner)))
    }
}

impl<T> Deref for Unseen<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Unseen<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Clone> Clone for Unseen<T> {
    fn clone(&self) -> Unseen<T> {
        Unseen::new(|| T::clone(self))
    }
}

impl<T: fmt::Debug> fmt::Debug for Unseen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: fmt::Display> fmt::Display for Unseen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T> Drop for Unseen<T> {
    fn drop(&mut self) {
        // SAFETY: dropped here only, and nobody sees it afterwards.
        unseen(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}
