//! Writes seeds to the corpus of each target, most out of the scenarios of `tests/vectors`:
//! `cargo run --manifest-path fuzz/Cargo.toml --no-default-features --example seeds [FOLDER]`.
//!
//! A corpus already holds those that reached something new; run it before fuzzing at length, and
//! minimise what comes of it.

use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use matrix_delegation_fuzz::seeds::all;

fn main() -> Result<(), Box<dyn Error>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::args_os().nth(1).map_or_else(|| home.join("corpus"), PathBuf::from);
    for (target, inputs) in &all()? {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for input in inputs {
            let mut hasher = DefaultHasher::new();
            input.hash(&mut hasher);
            fs::write(folder.join(format!("vector-{:016x}", hasher.finish())), input)?;
        }
        println!("{target}: {} seeds", inputs.len());
    }
    Ok(())
}
