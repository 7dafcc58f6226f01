//! The promises of `plimsoll::testing`.

mod asynchronous;
mod counts;
mod denied;
mod failing;
mod groups;
mod leaks;
mod libraries;
// An optimised program has other frames.
#[cfg(debug_assertions)]
mod messages;
mod panics;
mod snapshots;
mod sweeps;
mod unseen;

#[global_allocator]
static HEAP: plimsoll::Plimsoll = plimsoll::Plimsoll::new();

/// A block of so many bytes that the optimiser leaves alone.
#[inline(never)]
fn block(bytes: usize) -> Box<[u8]> {
    std::hint::black_box(vec![1u8; bytes].into_boxed_slice())
}

/// Lets other tasks have their turn. Tokio's own keeps a list, which it allocates.
async fn yield_now() {
    let mut was_here = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut was_here, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
