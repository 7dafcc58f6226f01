//! What a future allocates while it is polled, on whichever threads that is.

use super::measure::{Measurement, measure};
use std::future::{Future, poll_fn};
use std::pin::pin;

/// Several stretches of work one after the other, as one.
#[derive(Clone, Copy, Debug, Default)]
struct Stretches {
    sum: Measurement,
}

impl Stretches {
    fn around<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let (result, found) = measure(work);
        let sum = &mut self.sum;
        // The peak of a stretch stands on what the stretches before it left.
        let peak = sum.net_bytes.saturating_add_unsigned(found.peak_bytes);
        sum.peak_bytes = sum.peak_bytes.max(peak.max(0) as u64);
        sum.allocations += found.allocations;
        sum.deallocations += found.deallocations;
        sum.reallocations += found.reallocations;
        sum.allocated_bytes += found.allocated_bytes;
        sum.deallocated_bytes += found.deallocated_bytes;
        sum.net_bytes += found.net_bytes;
        result
    }
}

/// Runs a future and answers its output with what it allocated in all of its polls: exact, on
/// whichever threads they were, and whatever else those threads did between them.
///
/// ```
/// # #[global_allocator]
/// # static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();
/// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// use plimsoll::testing::measure_async;
///
/// let (kept, found) = measure_async(async {
///     let kept = vec![0u8; 1000];
///     tokio::task::yield_now().await; // perhaps on another thread from here on
///     drop(vec![0u8; 500]);
///     kept
/// })
/// .await;
/// assert_eq!(found.net_bytes, 1000);
/// assert_eq!(found.peak_bytes, 1500);
/// # drop(kept);
/// # });
/// ```
///
/// The peak is that of the future's own bytes over all polls. What tasks that it spawns allocate is
/// theirs: a [`Group`](super::Group) counts them together. The future is dropped after its figures
/// are taken. All zero when [`Plimsoll`](crate::Plimsoll) is not the program's allocator.
///
/// # Cost
///
/// That of [`measure()`](crate::measure), once a poll.
pub async fn measure_async<F: Future>(future: F) -> (F::Output, Measurement) {
    let mut future = pin!(future);
    let mut stretches = Stretches::default();
    let output = poll_fn(|context| stretches.around(|| future.as_mut().poll(context))).await;
    (output, stretches.sum)
}
