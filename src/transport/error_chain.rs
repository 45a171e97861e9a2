//! An error with its causes: as text, and by type.

use std::error::Error;
use std::io;
use std::iter::successors;

/// Characters of a library's words that are kept. The other side can put names of its choice into
/// them, by way of its certificate.
const DETAIL_CHARS: usize = 512;

/// Returns the text of an error and its causes, on one line of at most [`DETAIL_CHARS`] characters.
pub(crate) fn in_words(error: &(dyn Error + 'static)) -> String {
    printable(&chain(error))
}

/// Returns the text of an error and its causes.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in causes(error) {
        let said = cause.to_string();
        // Many errors repeat their cause.
        if words.last().is_none_or(|last| !last.contains(&said)) {
            words.push(said);
        }
    }
    words.join(": ")
}

/// Keeps a text to one line of at most [`DETAIL_CHARS`] characters.
pub(crate) fn printable(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS).collect()
}

/// Returns the error and its causes, those inside an [`io::Error`] too, which its `source` leaves
/// out.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// Returns the first cause of this type.
pub(crate) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}
