use crate::{Level, Shrink};
use std::fmt;

/// Anything that can say what it holds and hold less of it.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// use plimsoll::Level;
/// use plimsoll::cache::adapt::Closure;
/// use std::sync::{Arc, Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Arc::new(Mutex::new(vec![vec![0u8; 4096]; 100]));
/// let (held, less) = (Arc::clone(&pool), Arc::clone(&pool));
/// let adapted = Arc::new(Closure::new(
///     "buffers",
///     move || held.lock().unwrap().len() as u64 * 4096,
///     move |level| {
///         if level > Level::Normal {
///             less.lock().unwrap().clear();
///         }
///     },
/// ));
/// let monitor = plimsoll::Monitor::builder().cache(&adapted).start()?;
/// # drop(monitor);
/// # Ok(())
/// # }
/// ```
pub struct Closure {
    name: String,
    bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    shrink: Box<dyn Fn(Level) + Send + Sync>,
}

impl Closure {
    /// `bytes` says what is held; `shrink` does what [`Shrink::shrink`] asks for. What that frees is
    /// measured.
    pub fn new(
        name: impl Into<String>,
        bytes: impl Fn() -> u64 + Send + Sync + 'static,
        shrink: impl Fn(Level) + Send + Sync + 'static,
    ) -> Closure {
        Closure {
            name: name.into(),
            bytes: Box::new(bytes),
            shrink: Box::new(shrink),
        }
    }
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closure")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Shrink for Closure {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> u64 {
        (self.bytes)()
    }

    fn shrink(&self, level: Level) -> u64 {
        super::super::freed::freed(&self.bytes, || (self.shrink)(level))
    }
}
