//! Compiles the native part of the WSGI worker (`worker/native`), a library that Python loads, with the compiler that compiles
//! the rest. It is no crate of the workspace, since Cargo cannot put one crate's library into another's binary.

use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "worker/native/lib.rs";

fn main() {
    println!("cargo:rerun-if-changed=worker/native");
    println!("cargo:rerun-if-changed=build.rs");
    let library = PathBuf::from(variable("OUT_DIR")).join("stead_native.so");
    let target = variable("TARGET");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args([
            "--edition=2024",
            "--crate-name=stead_native",
            "--crate-type=cdylib",
        ])
        .args([
            "-Copt-level=3",
            "-Cpanic=abort",
            "-Clto=fat",
            "-Ccodegen-units=1",
            "-Cstrip=symbols",
        ])
        .args([
            "--target",
            &target,
            "--remap-path-prefix",
            &format!("{}=", variable("CARGO_MANIFEST_DIR")),
        ])
        .arg("-o")
        .arg(&library)
        .arg(SOURCE);
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    // Not every target has such libraries, as that of a static musl. The worker does without.
    let is_made = matches!(rustc.status(), Ok(status) if status.success());
    if !is_made {
        println!(
            "cargo:warning=the worker's native part cannot be compiled for {target}: workers will use more CPU time"
        );
        std::fs::write(&library, []).expect("OUT_DIR can be written to");
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("Cargo sets {name}"))
}
