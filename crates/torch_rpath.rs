//! Build script of every package whose binaries or tests link libtorch: tells the linker where the library is at run
//! time, so that nothing has to be exported. The directory is the one torch-sys found (the user's `LIBTORCH`, or the one
//! `scripts/setup` made); the `$ORIGIN`-relative entries let the binary be shipped beside a `lib/` or `libtorch/lib/`.

fn main() {
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        for relative in ["lib", "libtorch/lib", "../lib", "../../.deps/libtorch/lib"] {
            println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/{relative}");
        }
    }
}
