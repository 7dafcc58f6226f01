use crate::{block, yield_now};
use plimsoll::testing::measure_async;
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_time()
        .build()
        .unwrap()
}

/// Allocates in many polls: in the end 500 bytes in one block more, at most 1,500 at once.
async fn piecewise(rounds: usize) -> Box<[u8]> {
    let kept = block(500);
    for _ in 0..rounds {
        let held = block(700);
        yield_now().await;
        let more = block(300);
        yield_now().await;
        drop((held, more));
        yield_now().await;
    }
    kept
}

#[test]
fn hundreds_of_futures_on_a_few_threads_are_each_exact() {
    runtime().block_on(async {
        let tasks: Vec<_> = (0..300)
            .map(|number| {
                tokio::spawn(async move {
                    let (kept, found) = measure_async(piecewise(number % 10)).await;
                    (number as u64 % 10, kept, found)
                })
            })
            .collect();
        for task in tasks {
            let (rounds, kept, found) = task.await.unwrap();
            assert_eq!(found.allocations, 1 + 2 * rounds);
            assert_eq!(found.deallocations, 2 * rounds);
            assert_eq!(found.allocated_bytes, 500 + 1000 * rounds);
            assert_eq!((found.net_bytes, found.net_blocks()), (500, 1));
            assert_eq!(found.peak_bytes, if rounds == 0 { 500 } else { 1500 });
            drop(kept);
        }
    });
}

#[test]
fn what_the_thread_does_between_two_polls_is_not_the_futures() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let found = runtime.block_on(async {
        let noise = tokio::spawn(async {
            for _ in 0..20 {
                drop(block(10_000));
                yield_now().await;
            }
        });
        let measured = measure_async(async {
            for _ in 0..10 {
                drop(block(100));
                yield_now().await;
            }
        });
        let ((), found) = measured.await;
        noise.await.unwrap();
        found
    });
    assert_eq!((found.allocations, found.peak_bytes), (10, 100));
}

#[test]
fn a_future_that_is_dropped_halfway_leaves_no_scope_open() {
    runtime().block_on(async {
        let never = measure_async(async {
            let _held = block(100);
            std::future::pending::<()>().await;
        });
        let outcome = tokio::time::timeout(Duration::from_millis(10), never).await;
        assert!(outcome.is_err());
    });
    plimsoll::assert_allocations!(1, { drop(block(1)) });
}
