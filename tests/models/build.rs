//! Sets what selects the atomics, for this package alone: what it depends on is compiled once.

fn main() {
    println!("cargo::rustc-cfg=plimsoll_loom");
    if std::env::var_os("CARGO_FEATURE_SHUTTLE").is_some() {
        println!("cargo::rustc-cfg=plimsoll_shuttle");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
