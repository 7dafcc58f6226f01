//! What is held: heap, allocator, process, parts, limit.

use super::family::{Families, In};
use crate::figures;
use crate::governor::Monitor;
use std::fmt;

pub(super) fn encode(families: &mut Families<'_>, monitor: &Monitor) -> fmt::Result {
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
    if let Some(parts) = monitor.last_parts() {
        families.gauges(
            "plimsoll_memory",
            "What resident memory is made of, by part.",
            In::Bytes,
            [
                ("live_heap", parts.live_heap_bytes),
                ("fragmentation", parts.fragmentation_bytes),
                ("thread_caches", parts.thread_cache_bytes),
                ("dirty", parts.dirty_bytes),
                ("metadata", parts.metadata_bytes),
                ("other_anonymous", parts.other_anonymous_bytes),
                ("file_backed", parts.file_backed_bytes),
            ]
            .map(|(part, bytes)| ([("part", part)], bytes)),
        )?;
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
            ([("signal", "heap")], status.utilization.heap),
            ([("signal", "resident")], status.utilization.resident),
        ],
    )?;
    let caches = monitor.caches();
    families.gauges(
        "plimsoll_cache",
        "What a registered cache says it holds.",
        In::Bytes,
        caches
            .iter()
            .map(|cache| ([("cache", cache.name.as_str())], cache.bytes)),
    )
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
