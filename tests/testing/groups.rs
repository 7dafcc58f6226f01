use crate::{block, yield_now};
use plimsoll::Measurement;
use plimsoll::testing::{Group, carry, measure_async, spawn};
use std::hint::black_box;
use std::sync::Barrier;

#[test]
fn threads_that_carry_a_group_are_summed_and_others_are_not() {
    let group = Group::new();
    let strangers = Group::new();
    group.run(|| {
        let kept = block(1000);
        let workers: Vec<_> = (1..=8)
            .map(|number| {
                // The thread's own bookkeeping is made outside of the group.
                std::thread::spawn(group.carry(move || {
                    for _ in 0..100 {
                        drop(block(number));
                    }
                }))
            })
            .collect();
        std::thread::spawn(|| drop(block(1 << 20))).join().unwrap();
        strangers.run(|| ());
        for worker in workers {
            worker.join().unwrap();
        }
        drop(kept);
    });
    let found = group.figures();
    assert!(found.allocations >= 801);
    assert!(found.allocated_bytes < 1 << 20, "{found:?}");
    assert_eq!(strangers.figures().allocations, 0);
}

#[test]
fn the_sum_and_the_peak_over_threads_are_exact() {
    const THREADS: usize = 6;
    let group = Group::new();
    let full = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for number in 1..=THREADS {
            scope.spawn(group.carry({
                let full = &full;
                move || {
                    for _ in 0..50 {
                        drop(block(7));
                    }
                    full.wait();
                    let kept = block(1000 * number);
                    // All of them hold theirs.
                    full.wait();
                    drop(kept);
                }
            }));
        }
    });
    let found = group.figures();
    assert_eq!(found.allocations, 51 * THREADS as u64);
    assert_eq!(found.net_bytes, 0);
    let all: u64 = (1..=THREADS as u64).map(|number| 1000 * number).sum();
    assert_eq!(found.peak_bytes, all);
    assert_eq!(found.allocated_bytes, all + 50 * 7 * THREADS as u64);
}

#[test]
fn work_that_is_carried_within_a_group_is_in_it_once() {
    let group = Group::new();
    group.run(|| {
        std::thread::scope(|scope| {
            let work = carry(|| {
                let nested = carry(|| drop(block(10)));
                let before = group.figures();
                group.run(nested);
                let after = group.figures();
                [
                    after.allocations - before.allocations,
                    after.allocated_bytes - before.allocated_bytes,
                ]
            });
            assert_eq!(scope.spawn(work).join().unwrap(), [1, 10]);
        });
    });
    let before = group.figures();
    group.run(|| group.run(|| drop(block(5))));
    let after = group.figures();
    assert_eq!(after.allocations - before.allocations, 1);
    assert_eq!(after.allocated_bytes - before.allocated_bytes, 5);
}

#[test]
fn spawn_hands_on_what_the_thread_is_in() {
    let (one, two) = (Group::new(), Group::new());
    one.run(|| two.run(|| spawn(|| drop(block(4_000_000))).join().unwrap()));
    for group in [one, two] {
        assert!(group.figures().allocated_bytes >= 4_000_000);
    }
}

#[test]
fn rayons_threads_join_at_their_start() {
    let group = Group::new();
    let pool = rayon_core::ThreadPoolBuilder::new()
        .num_threads(3)
        .start_handler({
            let group = group.clone();
            move |_| group.join_thread()
        })
        .build()
        .unwrap();
    let work = || {
        let ((), found) = plimsoll::measure(|| {
            for bytes in 1..100 {
                drop(block(bytes));
            }
        });
        found.allocated_bytes
    };
    pool.broadcast(|_| work());
    let before = group.figures();
    let by_themselves: u64 = pool.broadcast(|_| work()).iter().sum();
    let after = group.figures();
    assert_eq!(
        after.allocated_bytes - before.allocated_bytes,
        by_themselves
    );
    assert_eq!(by_themselves, 3 * 4950);
}

#[test]
fn tokios_threads_join_at_their_start_and_tasks_in_each_poll() {
    let (threads, tasks) = (Group::new(), Group::new());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start({
            let threads = threads.clone();
            move || threads.join_thread()
        })
        .build()
        .unwrap();
    let before = threads.figures();
    runtime.block_on(async {
        let handles: Vec<_> = (0..100)
            .map(|_| {
                tokio::spawn(tasks.carry_future(async {
                    for _ in 0..10 {
                        drop(block(50_000));
                        yield_now().await;
                    }
                }))
            })
            .collect();
        for handle in handles {
            handle.await.unwrap();
        }
    });
    let found = tasks.figures();
    assert_eq!(
        (found.allocations, found.allocated_bytes),
        (1000, 50_000_000)
    );
    assert_eq!(found.net_bytes, 0);
    let after = threads.figures();
    assert!(after.allocated_bytes - before.allocated_bytes >= 50_000_000);
}

#[test]
fn a_group_outlives_its_threads_and_what_they_do_at_their_end_is_no_trouble() {
    let group = Group::new();
    for _ in 0..200 {
        let joined = group.clone();
        std::thread::spawn(move || {
            joined.join_thread();
            joined.join_thread();
            drop(block(10));
        })
        .join()
        .unwrap();
    }
    let found = group.figures();
    assert!(
        found.allocations >= 200 && found.allocated_bytes >= 2000,
        "{found:?}"
    );
}

#[test]
fn a_thread_that_joins_while_it_works_for_the_group_stays_and_counts_once() {
    let group = Group::new();
    let worker = group.clone();
    std::thread::spawn(move || {
        worker.run(|| {
            drop(block(1));
            worker.join_thread();
            drop(block(20));
            worker.run(|| drop(block(300)));
        });
        drop(block(4_000));
        worker.run(|| drop(block(50_000)));
        carry(|| drop(block(600_000)))();
        let found = worker.figures();
        assert_eq!((found.allocations, found.allocated_bytes), (6, 654_321));
        assert_eq!((found.net_bytes, found.peak_bytes), (0, 600_000));
    })
    .join()
    .unwrap();
}

#[test]
fn what_a_thread_is_in_ends_with_it_unseen() {
    let group = Group::new();
    let worker = group.clone();
    std::thread::spawn(move || {
        worker.run(|| drop(block(1)));
        worker.join_thread();
        drop(worker);
    })
    .join()
    .unwrap();
    let found = group.figures();
    assert_eq!((found.allocations, found.allocated_bytes), (1, 1));
}

#[test]
fn what_grows_in_place_or_moves_counts_in_a_group_and_in_a_future() {
    let grow = || {
        let mut list = Vec::<u8>::with_capacity(100);
        black_box(&mut list).reserve_exact(1_000);
        black_box(&mut list).reserve_exact(5_000);
        black_box(&mut list).shrink_to(300);
        list
    };
    let seven = |found: Measurement| {
        [
            found.allocations as i64,
            found.deallocations as i64,
            found.reallocations as i64,
            found.allocated_bytes as i64,
            found.deallocated_bytes as i64,
            found.peak_bytes as i64,
            found.net_bytes,
        ]
    };
    let expected = [1, 0, 3, 6_400, 6_100, 5_000, 300];
    let group = Group::new();
    let kept = group.run(grow);
    assert_eq!(seven(group.figures()), expected);
    group.run(|| drop(kept));
    assert_eq!(seven(group.figures()), [1, 1, 3, 6_400, 6_400, 5_000, 0]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (kept, found) = runtime.block_on(measure_async(async { grow() }));
    assert_eq!(seven(found), expected);
    drop(kept);
}
