//! An example as a program.

use std::path::PathBuf;
use std::process::Command;

/// Builds it, if it is not built, and says where it is.
pub(crate) fn built(example: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--example", example, "--features", "full"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success());
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile.join("examples").join(example).with_extension(std::env::consts::EXE_EXTENSION)
}
