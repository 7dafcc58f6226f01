//! The counting protocol under loom: the code that ships, in every interleaving of two writers and
//! one reader.
//!
//! Run with
//! `RUSTFLAGS="--cfg plimsoll_loom" cargo test --release --lib model`.
