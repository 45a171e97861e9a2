//! An error with its causes: as text, and by type.

use std::error::Error;
use std::io;
use std::iter::successors;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// Characters of a library's words that are kept. The other side can put names of its choice into
/// them, by way of its certificate.
const DETAIL_CHARS: usize = 512;

/// How rustls begins to say that a connection ended early (RFC 8446 section 6.1).
const NO_FAREWELL: &str = "peer closed connection without sending TLS close_notify";

/// Returns the text of an error and its causes, on one line of at most [`DETAIL_CHARS`] characters.
pub(crate) fn in_words(error: &(dyn Error + 'static)) -> String {
    printable(&chain(error))
}

/// Returns the text of an error and its causes.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in causes(error) {
        let own = match cause.to_string() {
            // With the address of a page for programmers.
            own if own.starts_with(NO_FAREWELL) => {
                "the server ended the connection without TLS's close_notify".to_owned()
            }
            own => own,
        };
        let said = cause.downcast_ref().and_then(tls_in_words).unwrap_or_else(|| own.clone());
        match words.last_mut() {
            // Many errors repeat their cause, which may say more than its text.
            Some(last) if *last == own => *last = said,
            Some(last) if last.contains(&said) => {}
            _ => words.push(said),
        }
    }
    words.join(": ")
}

/// Returns what an error of rustls means, where its own text is for programmers.
fn tls_in_words(error: &rustls::Error) -> Option<String> {
    use CertificateError as Bad;

    let invalid = "the server's certificate chain is not accepted";
    let words = match error {
        rustls::Error::AlertReceived(alert) => return Some(alert_in_words(*alert)),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS there".to_owned()
        }
        rustls::Error::InvalidCertificate(error) => match error {
            Bad::UnsupportedSignatureAlgorithmContext { .. }
            | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
                "{invalid}: a signature in it is of a kind that the crypto provider does not take"
            ),
            Bad::Other(other) => match format!("{:?}", other.0).as_str() {
                "MaximumPathDepthExceeded" => format!("{invalid}: it is too long"),
                reason => format!("{invalid}: {reason}"),
            },
            _ => return None,
        },
        _ => return None,
    };
    Some(words)
}

/// Returns what a server says by an alert, and what to do about it (RFC 8446 section 6.2).
pub(crate) fn alert_in_words(alert: AlertDescription) -> String {
    use AlertDescription as Alert;

    let advice = match alert {
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            ": no cipher, group or signature scheme in common"
        }
        Alert::ProtocolVersion => {
            ": the server accepts no version that was offered: let it speak TLS 1.3 or 1.2"
        }
        Alert::CertificateRequired => {
            ": the server demands a client certificate, which Matrix servers do not have: let it ask \
             for none"
        }
        Alert::BadCertificate | Alert::AccessDenied => {
            ": the server refuses this client; it may demand a client certificate, which Matrix servers \
             do not have"
        }
        Alert::UnrecognisedName => ": the server serves no such name there: let it serve this one",
        Alert::NoApplicationProtocol => {
            ": the server speaks none of the protocols that were offered: let it speak HTTP/1.1 or \
             HTTP/2"
        }
        _ => "",
    };
    format!("received fatal alert: {alert:?}{advice}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_once_and_in_words() {
        let io = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let alert = |it| io(rustls::Error::AlertReceived(it));
        let bad = |it| io(rustls::Error::InvalidCertificate(it));
        let other = |it: &str| {
            let error: Box<dyn Error + Send + Sync> = it.into();
            CertificateError::Other(rustls::OtherError(error.into()))
        };
        for (error, words) in [
            (
                alert(AlertDescription::CertificateRequired),
                "received fatal alert: CertificateRequired: the server demands a client certificate, \
                 which Matrix servers do not have: let it ask for none",
            ),
            (alert(AlertDescription::InternalError), "received fatal alert: InternalError"),
            (
                io(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)),
                "the server does not speak TLS there",
            ),
            (bad(other("odd")), "the server's certificate chain is not accepted: \"odd\""),
            (bad(CertificateError::Expired), "invalid peer certificate: Expired"),
            (
                io::Error::new(io::ErrorKind::UnexpectedEof, format!("{NO_FAREWELL}: https://x")),
                "the server ended the connection without TLS's close_notify",
            ),
            (io::Error::from(io::ErrorKind::ConnectionReset), "connection reset"),
        ] {
            assert_eq!(chain(&error), words);
        }
    }
}
