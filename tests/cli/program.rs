//! An example as a program.

use std::path::PathBuf;
use std::process::Command;

/// Builds it, if it is not built, and says where it is.
pub(crate) fn built(example: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo tells this test of its package, some dependencies ask for when they are built, so that
    // they would be built anew, and after the tests once more.
    for (name, _) in std::env::vars_os() {
        let of_package =
            |it: &str| it.starts_with("CARGO_PKG_") || it.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(of_package) {
            cargo.env_remove(name);
        }
    }
    let built = cargo
        .args(["build", "--quiet", "--example", example, "--features", "full"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success());
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile.join("examples").join(example).with_extension(std::env::consts::EXE_EXTENSION)
}
