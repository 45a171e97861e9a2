//! Heads of HTTP/1.1 responses as real servers send them, made into what hyper reads.
//!
//! hyper refuses a response for one odd header line, and its switches to be lenient drop odd lines that
//! say where the response ends, too. [`HeadReader`] therefore stands between the stream and hyper and
//! looks at each head before hyper does:
//!
//! | line | what becomes of it |
//! | --- | --- |
//! | folded | joined by a space (RFC 9112 section 5.2) |
//! | blanks before the colon | removed |
//! | no header, a bad or empty name, a control byte in the value | skipped |
//! | one of these, and named like a framing header | the head goes to hyper as it is, which refuses it |
//!
//! It goes to hyper as it is, too, if it has a NUL or a bare CR, is longer than the limit or is no HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The shortest header line, `a:` and its line end (RFC 9112 section 5).
const LEAST_LINE: usize = 4;

/// Header lines beyond which hyper gives up whatever their size; a `HeaderMap` holds no more than
/// 24,576.
const MOST_LINES: usize = 16 * 1024;

/// How much of a head is read at a time.
const PIECE: usize = 4096;

/// Headers that say where a response ends (RFC 9112 section 6), in lower case.
const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];

/// The least that hyper's buffer for a head can be set to, in bytes.
pub(crate) const LEAST_HEAD_BUFFER: usize = 8 * 1024;

/// Returns how many header lines a head of at most this many bytes and lines may have; for hyper.
pub(crate) fn most_lines(head_bytes: usize, head_lines: usize) -> usize {
    (head_bytes / LEAST_LINE + 1).min(head_lines).min(MOST_LINES)
}

/// What is known of the responses on a connection, shared by its reader and who sends the requests.
///
/// The channels between them order what is written here, so that the flags need no order themselves.
#[derive(Debug, Default)]
pub(crate) struct ResponseWatch {
    due: AtomicBool,
    begun: AtomicBool,
    mended: AtomicBool,
}

impl ResponseWatch {
    /// Says that the next bytes written are a request's, after which a head comes.
    pub(crate) fn expect_head(&self) {
        self.begun.store(false, Ordering::Relaxed);
        self.due.store(true, Ordering::Relaxed);
    }

    /// Returns whether a byte of the response to the last request came.
    #[cfg(feature = "client")]
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Returns whether a head had to be mended.
    #[cfg(feature = "client")]
    pub(crate) fn was_mended(&self) -> bool {
        self.mended.load(Ordering::Relaxed)
    }
}

/// A stream whose response heads are mended on the way to hyper.
#[derive(Debug)]
pub(crate) struct HeadReader<S> {
    stream: S,
    /// As long as the heads of one response may be, interim ones included, in bytes.
    limit: usize,
    /// How long those are that were read whole.
    heads: usize,
    watch: Arc<ResponseWatch>,
    /// Where a head is read: how far.
    head: Option<Scan>,
    /// What was read ahead.
    buffer: Vec<u8>,
    /// How much of it is handed on as it is.
    judged: usize,
}

/// How far a head has been looked through for its end.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    bytes: usize,
    /// Nothing stands on the line so far.
    line_is_empty: bool,
}

/// What has come of a head.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Part,
    /// So many bytes.
    Whole(usize),
    /// Nothing that may be mended.
    Unfit,
}

impl Scan {
    fn on(&mut self, bytes: &[u8]) -> Seen {
        // hyper passes over empty lines before the status line.
        let start = bytes.iter().position(|it| !b"\r\n".contains(it)).unwrap_or(bytes.len());
        if !bytes.iter().skip(start).zip(b"HTTP/1.").all(|(is, should)| is == should) {
            return Seen::Unfit;
        }
        for (at, byte) in bytes.iter().enumerate().skip(self.bytes) {
            match (byte, bytes.get(at + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => {
                    self.bytes = at;
                    return Seen::Part;
                }
                (0, _) | (b'\r', Some(_)) => return Seen::Unfit,
                (b'\n', _) if self.line_is_empty => return Seen::Whole(at + 1),
                (b'\n', _) => self.line_is_empty = at >= start,
                _ => self.line_is_empty = false,
            }
        }
        self.bytes = bytes.len();
        Seen::Part
    }
}

impl<S> HeadReader<S> {
    pub(crate) fn new(stream: S, limit: usize, watch: Arc<ResponseWatch>) -> Self {
        Self { stream, limit, heads: 0, watch, head: None, buffer: Vec::new(), judged: 0 }
    }

    /// Looks at what was read of a head. Returns whether more of it is needed.
    fn judge(&mut self) -> io::Result<bool> {
        let Some(scan) = &mut self.head else { return Ok(false) };
        let length = match scan.on(&self.buffer) {
            Seen::Part if self.room() > 0 => return Ok(true),
            Seen::Part => {
                let limit = self.limit;
                let why = format!("the response's heads are larger than {limit} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Seen::Whole(length) => length,
            Seen::Unfit => {
                self.pass_on();
                return Ok(false);
            }
        };
        self.heads += length;
        let head = self.buffer.get(..length).unwrap_or_default();
        // 101 is the last head there is (RFC 9110 section 15.2.2).
        let status = head.trim_ascii_start().get(9..12);
        let is_interim = status.is_some_and(|it| it.starts_with(b"1") && it != b"101");
        let length = match mended(head) {
            Some(head) => {
                self.watch.mended.store(true, Ordering::Relaxed);
                let new = head.len();
                self.buffer.splice(..length, head);
                new
            }
            None => length,
        };
        if is_interim {
            (self.head, self.judged) = (Some(Scan::default()), length);
        } else {
            self.pass_on();
        }
        Ok(false)
    }

    /// Returns how much more of a head may be read.
    fn room(&self) -> usize {
        self.limit.saturating_sub(self.heads.saturating_add(self.buffer.len()))
    }

    /// Hands on all that comes, as it is.
    fn pass_on(&mut self) {
        (self.head, self.judged) = (None, self.buffer.len());
    }

    /// Begins to read a head if what is written now is a request.
    fn begin(&mut self) -> io::Result<()> {
        if !self.watch.due.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        if !self.buffer.is_empty() {
            let why = "the server sent more than a response before the request";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        (self.head, self.heads) = (Some(Scan::default()), 0);
        Ok(())
    }
}

/// Returns a whole head as hyper reads it; `None` if it may stay as it is, or must.
fn mended(head: &[u8]) -> Option<Vec<u8>> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').peekable();
    let (mut kept, mut is_mended) = (Vec::with_capacity(head.len()), false);
    // The status line, and empty ones before it.
    for line in lines.by_ref() {
        kept.extend_from_slice(line);
        if !without_end(line).is_empty() {
            break;
        }
    }
    while let Some(line) = lines.next() {
        let mut parts = vec![without_end(line)];
        while let Some(fold) = lines.next_if(|it| it.starts_with(b" ") || it.starts_with(b"\t")) {
            parts.push(without_end(fold));
        }
        let is_end = parts == [b""];
        let is_plain = matches!(parts.as_slice(), [line] if is_header(line));
        if is_end || is_plain {
            kept.extend_from_slice(line);
            continue;
        }
        if parts.iter().any(|part| is_framing(part)) {
            return None;
        }
        is_mended = true;
        let joined = joined(&parts);
        if is_header(&joined) {
            kept.extend_from_slice(&joined);
            kept.extend_from_slice(b"\r\n");
        }
    }
    is_mended.then_some(kept)
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Returns the name and the rest of a line; without a colon it is all name.
fn split(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match line.iter().position(|byte| *byte == b':') {
        Some(colon) => {
            let (name, value) = line.split_at(colon);
            (name, value.get(1..))
        }
        None => (line, None),
    }
}

/// Returns whether a line is a header as it should be (RFC 9110 section 5.5).
fn is_header(line: &[u8]) -> bool {
    let (name, value) = split(line);
    let is_of_value = |byte: &u8| is_blank(*byte) || !byte.is_ascii_control();
    !name.is_empty()
        && name.iter().all(|byte| is_token(*byte))
        && value.is_some_and(|value| value.iter().all(is_of_value))
}

/// Returns whether somebody could take a line that is not as it should be for one that says where the
/// response ends, whatever stands in its name besides.
fn is_framing(line: &[u8]) -> bool {
    let (name, value) = split(line);
    let bare = name.iter().copied().filter(|byte| is_token(*byte));
    let bare: Vec<u8> = bare.map(|byte| byte.to_ascii_lowercase()).collect();
    FRAMING.iter().any(|it| bare == *it || (value.is_none() && bare.starts_with(it)))
}

/// Returns the parts of a folded line as one, without blanks before the colon.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut line = Vec::new();
    for part in parts {
        if line.is_empty() {
            let (name, value) = split(part);
            line.extend_from_slice(trim_end(name));
            if let Some(value) = value {
                line.push(b':');
                line.extend_from_slice(value);
            }
        } else {
            line.truncate(trim_end(&line).len());
            line.push(b' ');
            let blanks = part.iter().take_while(|byte| is_blank(**byte)).count();
            line.extend_from_slice(part.get(blanks..).unwrap_or_default());
        }
    }
    line
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().rev().take_while(|byte| is_blank(**byte)).count();
    bytes.get(..bytes.len() - blanks).unwrap_or_default()
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Ends: each turn reads more of a head, of which there is a limit, or leaves.
        loop {
            if self.judged > 0 {
                let now = self.judged.min(buf.remaining());
                buf.put_slice(self.buffer.get(..now).unwrap_or_default());
                self.buffer.drain(..now);
                self.judged -= now;
                return Poll::Ready(Ok(()));
            }
            if self.head.is_none() {
                return Pin::new(&mut self.stream).poll_read(cx, buf);
            }
            // An interim response may have brought more with it.
            if !self.judge()? {
                continue;
            }
            let mut piece = [0; PIECE];
            let most = PIECE.min(self.room());
            let mut piece = ReadBuf::new(piece.get_mut(..most).unwrap_or_default());
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                // It ended too early, of which hyper is told after what came.
                self.pass_on();
                continue;
            }
            self.watch.begun.store(true, Ordering::Relaxed);
            self.buffer.extend_from_slice(piece.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadReader<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> String {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let mended = mended(head.as_bytes()).unwrap_or_else(|| head.into_bytes());
        String::from_utf8(mended).unwrap()
    }

    #[test]
    fn each_line_is_kept_mended_or_skipped() {
        for (lines, expected) in [
            ("a: b\r\nc:\r\nd:e\n", "a: b\r\nc:\r\nd:e\n"),
            ("a: b\r\n c\r\n", "a: b c\r\n"),
            ("a: b \t\r\n\t \tc\n  d \r\ne: f\r\n", "a: b c d \r\ne: f\r\n"),
            ("a:\r\n b\r\n \r\n", "a: b \r\n"),
            ("a : b\r\nc\t : d\n", "a: b\r\nc: d\r\n"),
            ("a \r\n : b\r\nc: d\r\n", "c: d\r\n"),
            (" a: b\r\nc: d\r\n", "c: d\r\n"),
            ("a b: c\r\nd[e]: f\r\n: g\r\nno header\r\nh: i\r\n", "h: i\r\n"),
            ("a: \u{1}\r\n b\r\nc: d\u{7f}\r\ne: f\r\n", "e: f\r\n"),
            ("caf\u{e9}: 1\r\na: caf\u{e9}\r\n", "a: caf\u{e9}\r\n"),
        ] {
            assert_eq!(of(lines), format!("HTTP/1.1 200 OK\r\n{expected}\r\n"), "{lines:?}");
        }
    }

    #[test]
    fn what_says_where_a_response_ends_is_never_mended_or_skipped() {
        for line in [
            "Content-Length : 2",
            "content-length: 2\r\n 3",
            "Content-Length: 2\r\n ",
            " Content-Length: 2",
            "a: b\r\n Content-Length: 2",
            "Content-\tLength: 2",
            "Content-Length\u{1}: 2",
            "\u{b}Transfer-Encoding: chunked",
            "Transfer-Encoding: chunked\u{1}",
            "transfer-encoding:\r\n\tchunked",
            "Transfer-Encoding chunked",
            "(Content-Length): 2",
        ] {
            for lines in [format!("{line}\r\n"), format!("c : d\r\n{line}\r\ne: f\r\n")] {
                assert_eq!(of(&lines), format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
            }
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_comes() {
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\na: b\r\n\r\n{}", Seen::Whole(25)),
            ("\r\n\nHTTP/1.1 200 OK\n\n", Seen::Whole(20)),
            ("\r\n\r\n\r\n", Seen::Part),
            ("HTTP/1.1 200 OK\r\na: b\r\n \r\n", Seen::Part),
            ("HTTP/1.1 200 OK\r\na: \0\r\n\r\n", Seen::Unfit),
            ("HTTP/1.1 200 OK\r\na: b\rc: d\r\n\r\n", Seen::Unfit),
            ("HTTP/1.1 200 OK\r\n\r\r\n", Seen::Unfit),
            ("HTTP/2 200\r\n\r\n", Seen::Unfit),
            ("220 m.example ESMTP", Seen::Unfit),
        ] {
            for piece in [1, 2, 7, bytes.len()] {
                let mut scan = Scan::default();
                let ends = (1..).map(|turn| (turn * piece).min(bytes.len()));
                let seen = ends.map(|end| (end, scan.on(&bytes.as_bytes()[..end])));
                let mut seen = seen.skip_while(|(end, it)| *it == Seen::Part && *end < bytes.len());
                assert_eq!(seen.next().unwrap().1, expected, "{bytes:?}, {piece} at a time");
            }
        }
    }
}
