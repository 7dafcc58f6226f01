//! The restart in real processes: this binary starts itself in roles, which restart in place, are
//! killed, run out of memory, and are woken early.
#![cfg(target_os = "linux")]
#![allow(
    clippy::print_stdout,
    reason = "what a test found is part of its result"
)]

mod roles;

use plimsoll::{EventKind, Level, Plimsoll, Withheld, heap};
use roles::{LIMIT, account, builder, command, fill, remembered, run, say, started, wait_for};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Plimsoll<Refusing> = Plimsoll::wrap(Refusing);

/// Has no memory left from a moment on, and counts who asks all the same.
struct Refusing;

static REFUSES: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicU64 = AtomicU64::new(0);

// SAFETY: forwards to the system's allocator, or answers null.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if REFUSES.load(Ordering::Relaxed) {
            ASKED.fetch_add(1, Ordering::SeqCst);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.dealloc(address, layout) }
    }
}

// ---- the roles -------------------------------------------------------------------------------

/// Not a test: what the other processes run.
#[test]
fn role() {
    let Some((role, folder)) = roles::own() else {
        return;
    };
    say(&folder, "image");
    match role.as_str() {
        "full_heap" => full_heap(&folder),
        "leak" => leak(&folder),
        "scheduled" => scheduled(&folder),
        "blocking" => blocking(&folder),
        "high_start" => high_start(&folder),
        other => panic!("no such role: {other}"),
    }
}

/// A page that outlives the image.
struct Witness(*mut AtomicU64);

impl Witness {
    fn open(folder: &Path) -> Witness {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("witness"));
        let file = file.unwrap();
        file.set_len(4096).unwrap();
        use std::os::fd::AsRawFd;
        // SAFETY: a mapping of a file of that size, at an address of the kernel's choice.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(page, libc::MAP_FAILED);
        Witness(page.cast())
    }

    fn word(&self, place: usize) -> &'static AtomicU64 {
        // SAFETY: the page holds 512 of them, zeroed at first, and is never unmapped.
        unsafe { &*self.0.add(place) }
    }
}

/// What our own counters say was asked of the allocator.
fn counted() -> u64 {
    let heap = heap();
    heap.allocations() + heap.reallocations() + heap.failed_allocations()
}

/// Anonymous memory from the kernel itself.
struct Pages(&'static mut [u8]);

impl Pages {
    fn new(length: usize) -> Pages {
        // SAFETY: an anonymous mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        // SAFETY: just mapped, zeroed, and never unmapped.
        Pages(unsafe { std::slice::from_raw_parts_mut(start.cast(), length) })
    }

    fn touch(&mut self) {
        self.0.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    }
}

fn full_heap(folder: &Path) {
    let witness = Witness::open(folder);
    let (full_at, last, asked) = (witness.word(0), witness.word(1), witness.word(2));
    if full_at.load(Ordering::SeqCst) != 0 {
        let allocations = last.load(Ordering::SeqCst) - full_at.load(Ordering::SeqCst);
        let asked = asked.load(Ordering::SeqCst);
        say(folder, &format!("allocations {allocations} asked {asked}"));
        return;
    }
    let (monitor, events) = started(builder(folder));
    drop(events);
    let kept = fill(0.5);
    // Nothing is left from here on, and what pushes the figure over the line are pages of which no
    // allocator knows. The count goes on until the new image ends this loop.
    static PUSH: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(|| {
        let mut pages = Pages::new((0.46 * LIMIT as f64) as usize);
        while !PUSH.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        pages.touch();
    });
    // On a busy machine the threads that have just been started have still to come to rest.
    loop {
        let before = counted();
        std::thread::sleep(Duration::from_millis(300));
        if counted() == before {
            break;
        }
    }
    REFUSES.store(true, Ordering::SeqCst);
    last.store(counted(), Ordering::SeqCst);
    full_at.store(counted(), Ordering::SeqCst);
    PUSH.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        last.store(counted(), Ordering::SeqCst);
        asked.store(ASKED.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    REFUSES.store(false, Ordering::SeqCst);
    drop((kept, monitor));
    panic!("not restarted");
}

/// How this process's main thread is scheduled: flags and slice, as the kernel tells them.
fn scheduling() -> String {
    let mut attributes = [0u8; 48];
    let (start, size) = (attributes.as_mut_ptr(), attributes.len());
    // SAFETY: the kernel writes at most `size` bytes to the buffer.
    let read =
        unsafe { libc::syscall(libc::SYS_sched_getattr, std::process::id(), start, size, 0) };
    assert_eq!(read, 0);
    let word = |at: usize| u64::from_ne_bytes(attributes[at..at + 8].try_into().unwrap());
    format!("flags {} slice {} ns", word(8), word(24))
}

/// Restarts itself as often as the budget allows, and says how its main thread is scheduled.
fn scheduled(folder: &Path) {
    say(folder, &scheduling());
    leak(folder);
}

/// Restarts itself as often as the budget allows, from a monitor that was started where all signals were
/// blocked, on a thread that is bound to a processor. Says what the main thread has.
fn blocking(folder: &Path) {
    let main = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let has = |name: &&str| name.starts_with("SigBlk:") || name.starts_with("Cpus_allowed:");
        let lines: Vec<_> = status.lines().filter(has).collect();
        lines.join(" ").replace('\t', " ")
    };
    // All signals are blocked where a thread is started, as this one was.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !main().contains("SigBlk: 0000000000000000") {
        assert!(Instant::now() < deadline, "{}", main());
        std::thread::sleep(Duration::from_millis(1));
    }
    say(folder, &format!("main: {}", main()));
    let (is_started, started) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // While a thread is started, all signals are blocked where that is done.
            started.recv().unwrap();
            // SAFETY: all zero is a valid set of either kind; both are filled before they are used.
            unsafe {
                let mut all: libc::sigset_t = std::mem::zeroed();
                libc::sigfillset(&mut all);
                libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
                let mut one: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(0, &mut one);
                libc::sched_setaffinity(0, size_of_val(&one), &one);
            }
            leak(folder);
        });
        is_started.send(()).unwrap();
    });
}

fn leak(folder: &Path) {
    let (monitor, mut events) = started(builder(folder));
    let kept = fill(0.96);
    let (mut spent, mut sheds) = (false, false);
    wait_for(&mut events, |event| {
        let why = Withheld::BudgetSpent { restarts: 3 };
        spent |= matches!(event.kind, EventKind::RestartWithheld(last) if last == why);
        sheds |= matches!(event.kind, EventKind::Shedding(true));
        spent && sheds
    });
    assert!(monitor.is_shedding());
    say(folder, "sheds");
    drop(kept);
    wait_for(&mut events, |event| {
        matches!(event.kind, EventKind::Shedding(false))
    });
    say(folder, "takes load again");
}

fn high_start(folder: &Path) {
    let kept = fill(0.85);
    let monitor = builder(folder).start().unwrap();
    wait_for(&mut monitor.events(), |event| match event.kind {
        EventKind::RestartWithheld(why @ Withheld::ThresholdTooLow { .. }) => {
            say(folder, &why.to_string());
            true
        }
        _ => false,
    });
    assert_eq!(monitor.level(), Level::Restart);
    drop(kept);
}

// ---- the tests -------------------------------------------------------------------------------

#[test]
fn the_path_to_a_restart_allocates_nothing_when_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("full_heap", folder.path());
    println!(
        "from a full heap to the new image: {}",
        account[2..].concat()
    );
    assert_eq!(account, ["image", "image", "allocations 0 asked 0"]);
}

#[test]
fn a_leak_that_returns_stops_restarting_when_the_budget_is_spent_and_sheds() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("leak", folder.path());
    println!("a leak that returns, budget of 3: {account:?}");
    assert_eq!(
        account,
        [
            "image",
            "image",
            "image",
            "image",
            "sheds",
            "takes load again"
        ]
    );
}

#[test]
fn the_new_image_is_scheduled_as_the_old_one_was() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("scheduled", folder.path());
    let seen: Vec<_> = account
        .iter()
        .filter(|line| line.starts_with("flags"))
        .collect();
    println!("the main thread of four images: {seen:?}");
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|line| *line == seen[0]), "{seen:?}");
}

#[test]
fn the_new_image_blocks_the_signals_and_has_the_processors_of_the_old_ones_main_thread() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("blocking", folder.path());
    let seen: Vec<_> = account
        .iter()
        .filter(|line| line.starts_with("main"))
        .collect();
    println!("four images: {seen:?}");
    assert_eq!(seen.len(), 4, "{account:?}");
    assert!(seen.iter().all(|line| *line == seen[0]), "{seen:?}");
}

#[test]
fn a_program_whose_start_alone_exceeds_the_line_stays_up_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let account = run("high_start", folder.path());
    println!("a start at 85 %: {account:?}");
    assert_eq!(account.len(), 2, "{account:?}");
    assert!(
        account[1].starts_with("threshold too low for this program"),
        "{account:?}"
    );
}

#[test]
fn a_hundred_kills_neither_lose_nor_exceed_the_budget() {
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut kills = 0;
    let (mut amid, mut folders) = (0, 0);
    while kills < 100 {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        folders += 1;
        let mut starts = 0;
        let mut before = 0;
        while starts < 6 && kills < 100 {
            starts += 1;
            let mut child = command("leak", folder).spawn().unwrap();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // From before the monitor runs to after the last of three restarts: they take some
            // 20 ms each.
            std::thread::sleep(Duration::from_micros(3_000 + random % 90_000));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            kills += u32::from(status.signal() == Some(libc::SIGKILL));
            let images = account(folder)
                .iter()
                .filter(|line| *line == "image")
                .count();
            let performed = images - starts.min(images);
            let rows = remembered(folder);
            assert!(rows >= before, "a restart was forgotten");
            // Written down before it is tried: what happened is remembered, and nothing beyond the
            // budget was tried.
            assert!(performed <= rows, "{performed} restarts, {rows} remembered");
            assert!(rows <= 3, "{rows} restarts of 3");
            assert!(!folder.join("state.damaged").exists());
            amid += u32::from(rows < 3);
            before = rows;
        }
        // And the next start is right: it goes on where the budget stands.
        let mut child = command("leak", folder).spawn().unwrap();
        assert!(child.wait().unwrap().success(), "{:?}", account(folder));
        assert_eq!(remembered(folder), 3);
    }
    println!("{kills} kills over {folders} state files, {amid} of them before the third restart");
    assert!(amid >= 20, "the kills came too late to show anything");
}

#[test]
fn a_second_process_with_the_same_state_file_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let monitor = builder(folder.path()).start().unwrap();
    let output = command("high_start", folder.path()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    let own = format!("is in use by process {}:", std::process::id());
    assert!(said.contains(&own), "{said}");
    drop(monitor);
}

#[test]
fn the_service_manager_hears_of_every_restart_and_of_readiness_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut role = command("leak", folder.path());
    let status = role.env("NOTIFY_SOCKET", &path).output().unwrap().status;
    assert!(status.success(), "{:?}", account(folder.path()));
    manager.set_nonblocking(true).unwrap();
    let mut buffer = [0; 512];
    let mut heard = Vec::new();
    while let Ok(length) = manager.recv(&mut buffer) {
        let said = String::from_utf8_lossy(&buffer[..length]);
        heard.push(said.lines().next().unwrap().to_owned());
    }
    // Four images, and a restart between any two.
    let again = ["RELOADING=1", "READY=1"];
    let expected = [&["READY=1"][..], &again, &again, &again].concat();
    assert_eq!(heard, expected);
}
