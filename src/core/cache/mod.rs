//! Remembered answers: what one may be used for, and when.

pub(crate) mod dns_part;
pub(crate) mod record;
pub(crate) mod well_known_answer;
