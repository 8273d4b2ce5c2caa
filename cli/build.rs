//! How the binary is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A static binary that may lie anywhere in memory has a table of what to adjust for that, with 24 bytes for each of
    // a hundred thousand pointers. Packed, it is a hundredth of that; musl reads both.
    if std::env::var_os("CARGO_CFG_TARGET_ENV").is_some_and(|env| env == "musl") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
