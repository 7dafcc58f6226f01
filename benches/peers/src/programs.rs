//! Programs in small: what allocates beside other work.

use rusqlite::ffi;
use std::alloc::{Layout, alloc, dealloc, realloc};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::sync::{LazyLock, Once};

pub fn json(operations: usize) {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document(1000));
    let document = DOCUMENT.as_str();
    for _ in 0..operations {
        let value: serde_json::Value =
            serde_json::from_str(black_box(document)).unwrap_or_default();
        drop(black_box(value));
    }
}

/// Children with names, numbers and lists, as a service would send them.
fn document(children: usize) -> String {
    let rooms = ["Acorns", "Beeches", "Cedars"];
    let children: Vec<_> = (0..children)
        .map(|id| {
            serde_json::json!({
                "id": id,
                "name": format!("Child {id:05}"),
                "room": rooms[id % rooms.len()],
                "days": [id % 2 == 0, true, false, id % 3 == 0, true],
                "contacts": [
                    { "name": format!("Contact {}", id * 2), "phone": format!("555-{id:04}") },
                    { "name": format!("Contact {}", id * 2 + 1), "phone": null },
                ],
                "fee": id as f64 * 1.25,
            })
        })
        .collect();
    serde_json::Value::from(children).to_string()
}

pub fn json_large(operations: usize) {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document(80_000));
    let document = DOCUMENT.as_str();
    for _ in 0..operations {
        let value: serde_json::Value =
            serde_json::from_str(black_box(document)).unwrap_or_default();
        drop(black_box(value.to_string()));
    }
}

pub fn regex(operations: usize) {
    for _ in 0..operations {
        black_box(stems(black_box(include_str!("../../../README.md"))));
    }
}

/// Compiles anew each time: what an expression is compiled to is made of many blocks.
fn stems(text: &str) -> Vec<(String, Option<String>)> {
    let words = regex::Regex::new(r"(?i)\b(?:(\w+)ing|alloc(\w*)|[0-9]+(?:\.[0-9]+)?)\b");
    let found = words.iter().flat_map(|words| words.captures_iter(text));
    found
        .map(|found| {
            let stem = found.get(1).or(found.get(2));
            let stem = stem.map(|stem| stem.as_str().to_owned());
            (found[0].to_owned(), stem)
        })
        .collect()
}

pub fn sqlite(operations: usize) {
    through_rust();
    if let Err(error) = transactions(operations) {
        // A worker that measured something else would be worse than none.
        panic!("sqlite: {error}");
    }
}

fn transactions(operations: usize) -> rusqlite::Result<()> {
    let mut connection = rusqlite::Connection::open_in_memory()?;
    connection.execute_batch(
        "CREATE TABLE child (id INTEGER PRIMARY KEY, name TEXT, room TEXT, fee REAL);
         CREATE INDEX child_room ON child (room, name);",
    )?;
    for operation in 0..operations {
        let transaction = connection.transaction()?;
        // The table stays as large as it is.
        transaction.execute("DELETE FROM child", ())?;
        {
            let mut insert =
                transaction.prepare("INSERT INTO child (name, room, fee) VALUES (?1, ?2, ?3)")?;
            for row in 0..100usize {
                let name = format!("child {row} of {operation}");
                insert.execute((name, ["Acorns", "Beeches", "Cedars"][row % 3], row as f64))?;
            }
        }
        let mut query = transaction.prepare(
            "SELECT room, count(*), avg(fee), group_concat(name) FROM child GROUP BY room ORDER BY 2",
        )?;
        let rooms = query.query_map((), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(3)?))
        })?;
        black_box(rooms.collect::<rusqlite::Result<Vec<_>>>()?);
        drop(query);
        transaction.commit()?;
    }
    Ok(())
}

/// Before each of SQLite's blocks stands its size.
const HEADER: usize = 16;

/// Has SQLite allocate through Rust's global allocator, without the lock of its own statistics.
fn through_rust() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(sqlite_malloc),
            xFree: Some(sqlite_free),
            xRealloc: Some(sqlite_realloc),
            xSize: Some(sqlite_size),
            xRoundup: Some(sqlite_roundup),
            xInit: Some(sqlite_init),
            xShutdown: Some(sqlite_shutdown),
            pAppData: std::ptr::null_mut(),
        };
        // SAFETY: before the first connection; SQLite copies the methods.
        let done = unsafe {
            [
                ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods),
                ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0),
            ]
        };
        assert_eq!(done, [ffi::SQLITE_OK; 2], "SQLite was in use already");
    });
}

fn sqlite_layout(size: usize) -> Layout {
    // SAFETY: 16 is a power of two, and SQLite asks for less than 2 GiB.
    unsafe { Layout::from_size_align_unchecked(size + HEADER, HEADER) }
}

/// # Safety
///
/// `block` has room for the header, or is null.
unsafe fn with_header(block: *mut u8, size: usize) -> *mut c_void {
    if block.is_null() {
        return block.cast();
    }
    // SAFETY: the caller's promise; the block is aligned to 16.
    unsafe {
        block.cast::<usize>().write(size);
        block.add(HEADER).cast()
    }
}

/// # Safety
///
/// `block` came from [`with_header`], and is not null.
unsafe fn header(block: *mut c_void) -> (*mut u8, usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let start = block.cast::<u8>().sub(HEADER);
        (start, start.cast::<usize>().read())
    }
}

unsafe extern "C" fn sqlite_malloc(size: c_int) -> *mut c_void {
    let size = size as usize;
    // SAFETY: the size is not 0, and the block has room for the header.
    unsafe { with_header(alloc(sqlite_layout(size)), size) }
}

unsafe extern "C" fn sqlite_free(block: *mut c_void) {
    if !block.is_null() {
        // SAFETY: SQLite frees what it got here, once.
        unsafe {
            let (start, size) = header(block);
            dealloc(start, sqlite_layout(size));
        }
    }
}

unsafe extern "C" fn sqlite_realloc(block: *mut c_void, new: c_int) -> *mut c_void {
    let new = new as usize;
    // SAFETY: SQLite gives what it got here, and no null.
    unsafe {
        let (start, size) = header(block);
        with_header(realloc(start, sqlite_layout(size), new + HEADER), new)
    }
}

unsafe extern "C" fn sqlite_size(block: *mut c_void) -> c_int {
    // SAFETY: SQLite gives what it got here, and no null.
    unsafe { header(block) }.1 as c_int
}

unsafe extern "C" fn sqlite_roundup(size: c_int) -> c_int {
    (size + 7) & !7
}

unsafe extern "C" fn sqlite_init(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn sqlite_shutdown(_: *mut c_void) {}

/// An expression; its parts are places in the arena.
enum Node {
    Number(i64),
    Name(u32),
    Both(u8, u32, u32),
    Call(u32, Box<[u32]>),
}

/// A front end in small: nodes in an arena of growing chunks, names in a map, lists of arguments.
#[derive(Default)]
struct Module {
    nodes: Vec<Vec<Node>>,
    names: HashMap<String, u32>,
    functions: Vec<u32>,
}

/// Nodes of the first chunk; each is twice as large as the one before.
const FIRST: usize = 64;

impl Module {
    fn add(&mut self, node: Node) -> u32 {
        let is_full = |chunk: &Vec<Node>| chunk.len() == chunk.capacity();
        if self.nodes.last().is_none_or(is_full) {
            self.nodes
                .push(Vec::with_capacity(FIRST << self.nodes.len()));
        }
        let before: usize = self.nodes.iter().rev().skip(1).map(Vec::len).sum();
        let Some(chunk) = self.nodes.last_mut() else {
            return 0;
        };
        chunk.push(node);
        (before + chunk.len() - 1) as u32
    }

    fn node(&self, place: u32) -> &Node {
        let mut place = place as usize;
        let mut chunks = self.nodes.iter();
        loop {
            match chunks.next() {
                Some(chunk) if place < chunk.len() => return &chunk[place],
                Some(chunk) => place -= chunk.len(),
                None => return &Node::Number(0),
            }
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        let next = self.names.len() as u32;
        if let Some(&known) = self.names.get(name) {
            return known;
        }
        self.names.insert(name.to_owned(), next);
        next
    }

    /// `1`, `name`, `(a + b)`, `name(a b c)`.
    fn expression(
        &mut self,
        words: &mut std::iter::Peekable<std::str::SplitAsciiWhitespace<'_>>,
    ) -> u32 {
        let Some(word) = words.next() else {
            return self.add(Node::Number(0));
        };
        if word == "(" {
            let left = self.expression(words);
            let operator = words.next().map_or(b'+', |word| word.as_bytes()[0]);
            let right = self.expression(words);
            words.next();
            return self.add(Node::Both(operator, left, right));
        }
        if let Some(name) = word.strip_suffix('(') {
            let name = self.name(name);
            let mut arguments = Vec::new();
            while words.peek().is_some_and(|&word| word != ")") {
                arguments.push(self.expression(words));
            }
            words.next();
            return self.add(Node::Call(name, arguments.into()));
        }
        let node = match word.parse() {
            Ok(number) => Node::Number(number),
            Err(_) => Node::Name(self.name(word)),
        };
        self.add(node)
    }

    /// A copy in which numbers are worked out.
    fn fold(&self, place: u32, into: &mut Module) -> u32 {
        let node = match self.node(place) {
            Node::Number(number) => Node::Number(*number),
            Node::Name(name) => Node::Name(*name),
            Node::Both(operator, left, right) => {
                let (left, right) = (self.fold(*left, into), self.fold(*right, into));
                match (into.node(left), into.node(right)) {
                    (Node::Number(left), Node::Number(right)) => Node::Number(match operator {
                        b'*' => left.wrapping_mul(*right),
                        _ => left.wrapping_add(*right),
                    }),
                    _ => Node::Both(*operator, left, right),
                }
            }
            Node::Call(name, arguments) => {
                let arguments: Vec<u32> =
                    arguments.iter().map(|&one| self.fold(one, into)).collect();
                Node::Call(*name, arguments.into())
            }
        };
        into.add(node)
    }
}

/// 200 functions of some hundred words.
fn source() -> Vec<String> {
    let function = |number: usize| {
        let mut text = format!("call{}( ", number % 17);
        for part in 0..12 {
            text += &format!(
                "( value{} * ( {part} + {number} ) ) other{}( a{} ( 1 + 2 ) b{} ) ",
                number * 7 + part,
                part % 5,
                number % 29,
                part,
            );
        }
        text + ")"
    };
    (0..200).map(function).collect()
}

pub fn compiler(operations: usize) {
    static SOURCE: LazyLock<Vec<String>> = LazyLock::new(source);
    let source = &*SOURCE;
    for _ in 0..operations {
        let mut module = Module::default();
        for function in black_box(source) {
            let root = module.expression(&mut function.split_ascii_whitespace().peekable());
            module.functions.push(root);
        }
        let mut folded = Module::default();
        for &root in &module.functions {
            let root = module.fold(root, &mut folded);
            folded.functions.push(root);
        }
        drop(black_box((module, folded)));
    }
}
