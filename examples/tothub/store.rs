//! The database: children, staff, attendance and settings in one SQLite file.

use rusqlite::{Connection, OpenFlags, Row, params};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub const CHILDREN: u32 = 50_000;
pub const STAFF: u32 = 2_000;
/// Days of attendance that a database is filled with, unless it is told otherwise.
pub const DAYS: u32 = 30;
/// How many children there are each of these days.
pub const PRESENT_A_DAY: u32 = 5_000;
pub const SETTINGS: u32 = 5;
/// Connections that read at the same time.
const READERS: usize = 4;

const SCHEMA: &str = "
    CREATE TABLE children (id INTEGER PRIMARY KEY, name TEXT NOT NULL, born TEXT NOT NULL,
                           room TEXT NOT NULL, notes TEXT NOT NULL);
    CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT NOT NULL, room TEXT NOT NULL,
                        role TEXT NOT NULL);
    CREATE TABLE attendance (date TEXT NOT NULL, child INTEGER NOT NULL, arrived TEXT NOT NULL,
                             left TEXT, PRIMARY KEY (date, child)) WITHOUT ROWID;
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
";

/// The version of schema and content. A database of another is made anew.
const VERSION: u32 = 3;

#[derive(Serialize)]
pub struct Child {
    pub id: u32,
    pub name: String,
    pub born: String,
    pub room: String,
    pub notes: String,
}

/// A child's day.
pub struct Visit {
    pub date: String,
    pub room: String,
    pub arrived: String,
    pub left: Option<String>,
}

#[derive(Serialize)]
pub struct Member {
    pub id: u32,
    pub name: String,
    pub room: String,
    pub role: String,
}

#[derive(Serialize)]
pub struct Presence {
    pub child: u32,
    pub arrived: String,
    pub left: Option<String>,
}

#[derive(Serialize)]
pub struct Setting {
    pub name: String,
    pub value: String,
}

pub struct Store {
    path: PathBuf,
    readers: Vec<Mutex<Connection>>,
    next: AtomicUsize,
}

/// What went wrong, with the file.
#[derive(Debug)]
pub struct StoreError {
    path: PathBuf,
    what: String,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for StoreError {}

impl Store {
    /// Opens the database in this folder; fills it with so many days of attendance when there is none
    /// that has them.
    pub fn open(folder: &Path, days: u32) -> Result<Store, StoreError> {
        let path = folder.join("tothub.sqlite");
        let wrong = |what: String| StoreError {
            path: path.clone(),
            what,
        };
        std::fs::create_dir_all(folder).map_err(|error| wrong(error.to_string()))?;
        if version(&path) != Some((VERSION, days)) {
            // Filled beside and renamed, so that a database is whole or not there.
            let beside = folder.join(format!("tothub.sqlite.{}", std::process::id()));
            // One that was killed meanwhile had the same id, as the first process of a container has it.
            let mut journal = beside.clone().into_os_string();
            journal.push("-journal");
            for left in [beside.clone(), journal.into()] {
                let _ = std::fs::remove_file(left);
            }
            fill(&beside, days).map_err(|error| wrong(error.to_string()))?;
            std::fs::rename(&beside, &path).map_err(|error| wrong(error.to_string()))?;
        }
        let readers = (0..READERS)
            .map(|_| open(&path).map(Mutex::new))
            .collect::<Result<_, rusqlite::Error>>()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Store {
            path,
            readers,
            next: AtomicUsize::new(0),
        })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % READERS;
        self.readers[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn rows<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(sql)?;
        statement.query_map(values, read)?.collect()
    }

    /// Children with an id above `after`, `limit` of them.
    pub fn children(&self, after: u32, limit: u32) -> rusqlite::Result<Vec<Child>> {
        let sql = "SELECT id, name, born, room, notes FROM children WHERE id > ?1 ORDER BY id \
                   LIMIT ?2";
        self.rows(sql, params![after, limit], |row| {
            Ok(Child {
                id: row.get(0)?,
                name: row.get(1)?,
                born: row.get(2)?,
                room: row.get(3)?,
                notes: row.get(4)?,
            })
        })
    }

    /// Staff with an id above `after`, `limit` of them.
    pub fn staff(&self, after: u32, limit: u32) -> rusqlite::Result<Vec<Member>> {
        let sql = "SELECT id, name, room, role FROM staff WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.rows(sql, params![after, limit], |row| {
            Ok(Member {
                id: row.get(0)?,
                name: row.get(1)?,
                room: row.get(2)?,
                role: row.get(3)?,
            })
        })
    }

    /// Who was there on a day, `limit` of them from the `skip`th on.
    pub fn attendance(&self, date: &str, skip: u32, limit: u32) -> rusqlite::Result<Vec<Presence>> {
        let sql = "SELECT child, arrived, left FROM attendance WHERE date = ?1 ORDER BY child \
                   LIMIT ?3 OFFSET ?2";
        self.rows(sql, params![date, skip, limit], |row| {
            Ok(Presence {
                child: row.get(0)?,
                arrived: row.get(1)?,
                left: row.get(2)?,
            })
        })
    }

    /// How many were there on a day.
    pub fn present(&self, date: &str) -> rusqlite::Result<u32> {
        let reader = self.reader();
        reader
            .prepare_cached("SELECT count(*) FROM attendance WHERE date = ?1")?
            .query_row([date], |row| row.get(0))
    }

    /// Settings, `limit` of them from the `skip`th on.
    pub fn settings(&self, skip: u32, limit: u32) -> rusqlite::Result<Vec<Setting>> {
        let sql = "SELECT name, value FROM settings ORDER BY name LIMIT ?2 OFFSET ?1";
        self.rows(sql, params![skip, limit], |row| {
            Ok(Setting {
                name: row.get(0)?,
                value: row.get(1)?,
            })
        })
    }

    /// All recorded visits, by day, as they are read: `walk` is given one after the other.
    ///
    /// On a connection of its own: a walk may pause for half a minute, and keeps no reader from others. Whoever
    /// lets several walk at once sees to how many.
    pub fn visits<R, E: From<rusqlite::Error>>(
        &self,
        walk: impl FnOnce(&mut dyn Iterator<Item = rusqlite::Result<Visit>>) -> Result<R, E>,
    ) -> Result<R, E> {
        let reader = open(&self.path)?;
        let sql = "SELECT date, room, arrived, left FROM attendance JOIN children \
                   ON children.id = attendance.child ORDER BY date, child";
        let mut statement = reader.prepare(sql)?;
        let mut visits = statement.query_map([], |row| {
            Ok(Visit {
                date: row.get(0)?,
                room: row.get(1)?,
                arrived: row.get(2)?,
                left: row.get(3)?,
            })
        })?;
        walk(&mut visits)
    }
}

/// To read, with 2 MiB of pages.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -2048)?;
    Ok(connection)
}

/// The version of the database here and its days of attendance; `None` when there is none that can be
/// read.
fn version(path: &Path) -> Option<(u32, u32)> {
    let connection = open(path).ok()?;
    let number = |pragma| {
        connection
            .pragma_query_value(None, pragma, |row| row.get(0))
            .ok()
    };
    Some((number("user_version")?, number("application_id")?))
}

/// Makes the same content every time.
fn fill(path: &Path, days: u32) -> rusqlite::Result<()> {
    let rooms = ["Acorns", "Beeches", "Cedars", "Damsons", "Elms"];
    let room = |number: u32| rooms[number as usize % rooms.len()];
    let mut connection = Connection::open(path)?;
    // The file is renamed when it is whole: until then nobody cares whether it survives.
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute_batch(SCHEMA)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.pragma_update(None, "application_id", days)?;
    let all = connection.transaction()?;
    {
        let mut child = all.prepare("INSERT INTO children VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for id in 1..=CHILDREN {
            let mixed = mix(id);
            let born = format!(
                "{}-{:02}-{:02}",
                2020 + mixed % 6,
                1 + mixed / 7 % 12,
                1 + mixed / 91 % 28
            );
            let notes = format!(
                "Collected by contact {}; allergies: {}.",
                mixed % 9000,
                if mixed.is_multiple_of(11) {
                    "nuts"
                } else {
                    "none"
                }
            );
            child.execute(params![
                id,
                format!("Child {id:05}"),
                born,
                room(mixed),
                notes
            ])?;
        }
        let mut member = all.prepare("INSERT INTO staff VALUES (?1, ?2, ?3, ?4)")?;
        for id in 1..=STAFF {
            let role = ["educator", "assistant", "cook", "director"][mix(id) as usize % 4];
            member.execute(params![id, format!("Staff {id:04}"), room(mix(id)), role])?;
        }
        let mut present =
            all.prepare("INSERT OR IGNORE INTO attendance VALUES (?1, ?2, ?3, ?4)")?;
        for day in 1..=days {
            let date = date(day);
            let first = mix(day) % CHILDREN;
            for offset in 0..PRESENT_A_DAY {
                let id = 1 + (first + offset * 9) % CHILDREN;
                let minute = mix(id + day) % 60;
                present.execute(params![
                    date,
                    id,
                    format!("07:{minute:02}"),
                    format!("16:{minute:02}")
                ])?;
            }
        }
        let mut setting = all.prepare("INSERT INTO settings VALUES (?1, ?2)")?;
        for (name, value) in [
            ("opening_time", "07:00"),
            ("closing_time", "18:00"),
            ("staff_ratio_infants", "1:4"),
            ("staff_ratio_toddlers", "1:5"),
            ("staff_ratio_preschool", "1:11"),
        ] {
            setting.execute([name, value])?;
        }
    }
    all.commit()
}

/// The day with this number, from 1 on: the first 28 of each month, from June 2026 on.
fn date(day: u32) -> String {
    let (months, day) = ((day - 1) / 28 + 5, (day - 1) % 28 + 1);
    let (year, month) = (2026 + months / 12, months % 12 + 1);
    format!("{year}-{month:02}-{day:02}")
}

/// A number that looks nothing like its neighbour's.
fn mix(number: u32) -> u32 {
    let mixed = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) as u32
}
