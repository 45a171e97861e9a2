//! Server names in a file or on standard input, one a line.

use std::io::{self, BufRead, Read};

/// More than this of a line is no server name, in bytes.
const LONGEST: u64 = 1024;

/// The server names of a reader, one a line, without the white space around them. Empty lines,
/// comments (`# ...`) and a byte order mark at the beginning are left out. Names need not be UTF-8;
/// a line that is too long is cut, and is no name then.
pub(crate) struct Names<R> {
    reader: R,
    /// Whether nothing was read yet.
    begins: bool,
}

impl<R: BufRead> Names<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, begins: true }
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            if self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            // The rest of a line that is too long is no name by itself, nor is its beginning.
            let cut = !line.ends_with(b"\n") && self.reader.skip_until(b'\n')? > 0;
            let mut name = line.as_slice();
            if std::mem::take(&mut self.begins) {
                // Some editors begin a file with a byte order mark.
                name = name.strip_prefix("\u{feff}".as_bytes()).unwrap_or(name);
            }
            if !cut {
                name = str::from_utf8(name).map_or(name.trim_ascii(), |it| it.trim().as_bytes());
            }
            if !name.is_empty() && !name.starts_with(b"#") {
                return Ok(Some(name.to_vec()));
            }
        }
    }
}
