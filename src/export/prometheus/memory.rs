//! What is held: heap, allocator, process, parts, limit.

use super::family::{Families, In};
use crate::figures;
use crate::governor::{CacheStatistics, CacheStatus, Monitor, Parts};
use std::collections::BTreeMap;
use std::fmt;

pub(super) fn encode(
    families: &mut Families<'_>,
    monitor: &Monitor,
    cached: &[CacheStatus],
) -> fmt::Result {
    heap(families)?;
    let status = monitor.status();
    #[cfg(feature = "jemalloc")]
    if let Some(held) = &status.allocator {
        families.gauges(
            "plimsoll_allocator",
            "What jemalloc holds, by kind: see its statistics of the same names.",
            In::Bytes,
            [
                ("allocated", held.allocated),
                ("active", held.active),
                ("resident", held.resident),
                ("mapped", held.mapped),
                ("retained", held.retained),
                ("metadata", held.metadata),
                ("dirty", held.dirty),
                ("muzzy", held.muzzy),
            ]
            .map(|(kind, bytes)| ([("kind", kind)], bytes)),
        )?;
    }
    if let Some(process) = status.process {
        families.gauge(
            "process_resident_memory",
            "Resident memory of the process, file mappings included.",
            In::Bytes,
            process.resident_bytes,
        )?;
        families.gauge(
            "plimsoll_process_anonymous",
            "Resident memory that the kernel cannot drop: what is held against the limit.",
            In::Bytes,
            process.anonymous_bytes,
        )?;
        families.gauge(
            "plimsoll_process_swap",
            "Anonymous memory of the process in swap.",
            In::Bytes,
            process.swap_bytes,
        )?;
    }
    if let Some(found) = monitor.last_parts() {
        #[cfg(feature = "jemalloc")]
        let is_jemalloc = status.allocator.is_some();
        #[cfg(not(feature = "jemalloc"))]
        let is_jemalloc = false;
        parts(families, &found, is_jemalloc)?;
    }
    families.gauges(
        "plimsoll_limit",
        "What the program is held to, and who says so.",
        In::Bytes,
        [([("source", status.limit.source)], status.limit.bytes)],
    )?;
    families.gauges(
        "plimsoll_utilization",
        "The share of the limit that is used: live heap, and anonymous resident memory.",
        In::Ratio,
        [
            ("heap", true, status.utilization.heap),
            (
                "resident",
                status.process.is_some(),
                status.utilization.resident,
            ),
        ]
        .into_iter()
        .filter(|(_, is_known, _)| *is_known)
        .map(|(signal, _, share)| ([("signal", signal)], share)),
    )?;
    caches(families, cached)
}

fn parts(families: &mut Families<'_>, parts: &Parts, is_jemalloc: bool) -> fmt::Result {
    let parts = [
        ("live_heap", true, parts.live_heap_bytes),
        ("fragmentation", is_jemalloc, parts.fragmentation_bytes),
        ("thread_caches", is_jemalloc, parts.thread_cache_bytes),
        ("dirty", is_jemalloc, parts.dirty_bytes),
        ("metadata", is_jemalloc, parts.metadata_bytes),
        ("other_anonymous", true, parts.other_anonymous_bytes),
        ("file_backed", true, parts.file_backed_bytes),
    ];
    families.gauges(
        "plimsoll_memory",
        "What resident memory is made of, by part.",
        In::Bytes,
        parts
            .into_iter()
            .filter(|(_, is_known, _)| *is_known)
            .map(|(part, _, bytes)| ([("part", part)], bytes)),
    )
}

fn caches(families: &mut Families<'_>, caches: &[CacheStatus]) -> fmt::Result {
    // Two of one name would be one series twice, which spoils the whole scrape.
    let mut by_name: BTreeMap<&str, (u64, Option<CacheStatistics>)> = BTreeMap::new();
    for cache in caches {
        let (bytes, statistics) = by_name.entry(cache.name.as_str()).or_default();
        *bytes = bytes.saturating_add(cache.bytes);
        if let Some(other) = &cache.statistics {
            add(statistics.get_or_insert_default(), other);
        }
    }
    families.gauges(
        "plimsoll_cache",
        "What registered caches say they hold, by name.",
        In::Bytes,
        by_name
            .iter()
            .map(|(name, (bytes, _))| ([("cache", *name)], *bytes)),
    )?;
    let counting = || {
        let counting = by_name.iter();
        counting.filter_map(|(name, (_, statistics))| Some((*name, statistics.as_ref()?)))
    };
    families.gauges(
        "plimsoll_cache_entries",
        "Entries of caches that count.",
        In::Number,
        counting().map(|(name, found)| ([("cache", name)], found.entries)),
    )?;
    families.counters(
        "plimsoll_cache_requests",
        "Look-ups: hits, and misses.",
        In::Number,
        counting().flat_map(|(name, found)| {
            [("hit", found.hits), ("miss", found.misses)]
                .map(|(result, count)| ([("cache", name), ("result", result)], count))
        }),
    )?;
    families.counters(
        "plimsoll_cache_evictions",
        "Entries that have left, by cause.",
        In::Number,
        counting().flat_map(|(name, found)| {
            let left = &found.evictions;
            [
                ("capacity", left.capacity),
                ("pressure", left.pressure),
                ("expired", left.expired),
                ("replaced", left.replaced),
                ("removed", left.removed),
            ]
            .map(|(cause, count)| ([("cache", name), ("cause", cause)], count))
        }),
    )
}

/// Of two caches with one name.
fn add(sum: &mut CacheStatistics, other: &CacheStatistics) {
    let pairs = [
        (&mut sum.entries, other.entries),
        (&mut sum.hits, other.hits),
        (&mut sum.misses, other.misses),
        (&mut sum.evictions.capacity, other.evictions.capacity),
        (&mut sum.evictions.pressure, other.evictions.pressure),
        (&mut sum.evictions.expired, other.evictions.expired),
        (&mut sum.evictions.replaced, other.evictions.replaced),
        (&mut sum.evictions.removed, other.evictions.removed),
    ];
    for (sum, other) in pairs {
        *sum = sum.saturating_add(other);
    }
}

fn heap(families: &mut Families<'_>) -> fmt::Result {
    let heap = figures::heap();
    let gauges = [
        (
            "plimsoll_heap_live",
            "Bytes that the program asked for and has not freed.",
            In::Bytes,
            heap.live_bytes(),
        ),
        (
            "plimsoll_heap_live_blocks",
            "Blocks that the program asked for and has not freed.",
            In::Number,
            heap.live_blocks(),
        ),
        (
            "plimsoll_heap_peak",
            "The most bytes that were ever live at once.",
            In::Bytes,
            heap.peak_bytes(),
        ),
        (
            "plimsoll_threads",
            "Threads alive that have allocated or freed.",
            In::Number,
            u64::from(heap.threads()),
        ),
    ];
    for (name, help, unit, value) in gauges {
        families.gauge(name, help, unit, value)?;
    }
    let counters = [
        (
            "plimsoll_heap_allocations",
            "Successful allocations.",
            In::Number,
            heap.allocations(),
        ),
        (
            "plimsoll_heap_deallocations",
            "Frees.",
            In::Number,
            heap.deallocations(),
        ),
        (
            "plimsoll_heap_reallocations",
            "Successful reallocations.",
            In::Number,
            heap.reallocations(),
        ),
        (
            "plimsoll_heap_failed_allocations",
            "Allocations that the allocator refused.",
            In::Number,
            heap.failed_allocations(),
        ),
        (
            "plimsoll_heap_allocated",
            "Bytes ever allocated.",
            In::Bytes,
            heap.allocated_bytes(),
        ),
        (
            "plimsoll_heap_deallocated",
            "Bytes ever freed.",
            In::Bytes,
            heap.deallocated_bytes(),
        ),
    ];
    for (name, help, unit, value) in counters {
        families.counter(name, help, unit, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::family::written;
    use super::*;

    #[test]
    fn what_only_jemalloc_knows_is_left_out_without_it() {
        let part = |text: &str, name: &str| text.contains(&format!("{{part=\"{name}\"}} 0\n"));
        let with = written(|families| parts(families, &Parts::default(), true));
        let without = written(|families| parts(families, &Parts::default(), false));
        for always in ["live_heap", "other_anonymous", "file_backed"] {
            assert!(part(&with, always) && part(&without, always), "{always}");
        }
        for jemallocs in ["fragmentation", "thread_caches", "dirty", "metadata"] {
            assert!(part(&with, jemallocs), "{with}");
            assert!(!part(&without, jemallocs), "{without}");
        }
    }

    #[test]
    fn two_caches_of_one_name_are_one_series() {
        let cache = |name: &str, bytes, hits| CacheStatus {
            name: name.to_owned(),
            bytes,
            keeps_cap: true,
            statistics: (hits > 0).then(|| CacheStatistics {
                hits,
                ..CacheStatistics::default()
            }),
        };
        let all = [
            cache("rooms", 3, 10),
            cache("meals", 5, 0),
            cache("rooms", 4, 20),
        ];
        let text = written(move |families| caches(families, &all));
        assert!(text.contains("\nplimsoll_cache_bytes{cache=\"rooms\"} 7\n"));
        assert!(text.contains("\nplimsoll_cache_bytes{cache=\"meals\"} 5\n"));
        assert_eq!(text.matches("\nplimsoll_cache_bytes{").count(), 2);
        let hits = "\nplimsoll_cache_requests_total{cache=\"rooms\",result=\"hit\"} 30\n";
        assert!(text.contains(hits), "{text}");
        // One that does not count has no count.
        assert_eq!(text.matches("cache=\"meals\"").count(), 1);
    }
}
