//! What can go wrong on the way to a server, distinguished by what can be done about it.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{CertificateError, Error as TlsError};
use serde::Serialize;

use super::deadline::TimedOut;
use super::error_chain::cause;
use super::opening::Phase;
use crate::core::blame::Blame;
use crate::local_trouble::{is_exhaustion, may_be_routing};

/// What went wrong on the way to a server.
///
/// Which name a certificate lacks, and for which it is valid, is in the text beside this, and in full
/// in the report of a `CertificateProbe` (feature `certificate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectFailureKind {
    /// The endpoint has no address to connect to.
    NoAddress,
    /// This machine could not start: no network of that family, no socket left, not permitted.
    Local,
    /// The [`Dial`](crate::transport::Dial) opens no such stream.
    Unsupported,
    /// Nothing listens on the port.
    Refused,
    /// The network says that there is no way to the host.
    Unreachable,
    /// The time for the phase, or for everything, ran out.
    TimedOut,
    /// The other side ended the connection.
    Closed,
    /// The server refused the handshake with an alert (RFC 8446 section 6.2).
    TlsAlert,
    /// There was no handshake for another reason: the server does not speak TLS, or no version or cipher
    /// suite that both sides know.
    Tls,
    /// The certificate is for other names.
    WrongName,
    /// The certificate, or one above it, has expired.
    Expired,
    /// The certificate, or one above it, is not valid yet.
    NotYetValid,
    /// No trusted authority issued the certificate.
    Untrusted,
    /// The certificate is invalid for another reason: it cannot be read, is revoked, is not for servers,
    /// ...
    BadCertificate,
    /// HTTP could not be started over the connection.
    Http,
    /// Another error of the stream.
    Other,
}

impl ConnectFailureKind {
    /// Classifies an error in this phase.
    pub(crate) fn of(error: &(dyn Error + 'static), phase: Phase) -> Self {
        if error.is::<TimedOut>() {
            return Self::TimedOut;
        }
        match cause::<TlsError>(error) {
            Some(TlsError::InvalidCertificate(error)) => return Self::of_certificate(error),
            Some(TlsError::AlertReceived(_)) => return Self::TlsAlert,
            Some(_) => return Self::Tls,
            None => {}
        }
        let io = cause::<io::Error>(error);
        match (io.map_or(Self::Other, Self::of_io), phase) {
            // The connection was there, so that it is no trouble of this machine's.
            (Self::Other | Self::Local | Self::Unsupported, Phase::Tls) => Self::Tls,
            (kind, _) => kind,
        }
    }

    const fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as Bad;

        match error {
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Self::WrongName,
            Bad::Expired | Bad::ExpiredContext { .. } => Self::Expired,
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => Self::NotYetValid,
            Bad::UnknownIssuer => Self::Untrusted,
            _ => Self::BadCertificate,
        }
    }

    fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind::{
            AddrInUse, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
            HostUnreachable, NotConnected, TimedOut, UnexpectedEof, Unsupported, WriteZero,
        };

        if is_exhaustion(error) || may_be_routing(error) {
            return Self::Local;
        }
        match error.kind() {
            ConnectionRefused => Self::Refused,
            TimedOut => Self::TimedOut,
            Unsupported => Self::Unsupported,
            HostUnreachable => Self::Unreachable,
            AddrInUse => Self::Local,
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
            | WriteZero => Self::Closed,
            _ => Self::Other,
        }
    }

    /// Returns whose fault it is.
    pub const fn blame(self) -> Blame {
        match self {
            Self::NoAddress => Blame::Dns,
            Self::Local | Self::Unsupported => Blame::Local,
            _ => Blame::Server,
        }
    }

    /// Returns whether the next attempt may well succeed, with nothing changed by an administrator.
    pub const fn is_temporary(self) -> bool {
        !self.is_certificate() && !matches!(self, Self::Unsupported | Self::TlsAlert | Self::Tls)
    }

    /// Returns whether it is about the certificate.
    pub const fn is_certificate(self) -> bool {
        matches!(
            self,
            Self::WrongName
                | Self::Expired
                | Self::NotYetValid
                | Self::Untrusted
                | Self::BadCertificate
        )
    }
}

impl fmt::Display for ConnectFailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoAddress => "no address",
            Self::Local => "not possible from here",
            Self::Unsupported => "not supported",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed out",
            Self::Closed => "closed by the other side",
            Self::TlsAlert => "TLS alert",
            Self::Tls => "no TLS handshake",
            Self::WrongName => "wrong name",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::Untrusted => "untrusted",
            Self::BadCertificate => "bad certificate",
            Self::Http => "no HTTP",
            Self::Other => "failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn errors_are_told_apart_by_phase_and_cause() {
        use ConnectFailureKind as Kind;
        use io::ErrorKind as Io;

        let tls = |error| io::Error::new(Io::InvalidData, error);
        let certificate = |error| tls(TlsError::InvalidCertificate(error));
        let connect = [
            (io::Error::from(Io::ConnectionRefused), Kind::Refused),
            (Io::TimedOut.into(), Kind::TimedOut),
            (Io::HostUnreachable.into(), Kind::Unreachable),
            (Io::NetworkUnreachable.into(), Kind::Local),
            (Io::PermissionDenied.into(), Kind::Local),
            (Io::Unsupported.into(), Kind::Unsupported),
            (Io::ConnectionReset.into(), Kind::Closed),
            (io::Error::other("a proxy's words"), Kind::Other),
        ];
        let handshake = [
            (Io::UnexpectedEof.into(), Kind::Closed),
            (Io::PermissionDenied.into(), Kind::Tls),
            (io::Error::other("no TLS"), Kind::Tls),
            (tls(TlsError::AlertReceived(AlertDescription::HandshakeFailure)), Kind::TlsAlert),
            (tls(TlsError::DecryptError), Kind::Tls),
            (certificate(CertificateError::NotValidForName), Kind::WrongName),
            (certificate(CertificateError::Expired), Kind::Expired),
            (certificate(CertificateError::NotValidYet), Kind::NotYetValid),
            (certificate(CertificateError::UnknownIssuer), Kind::Untrusted),
            (certificate(CertificateError::Revoked), Kind::BadCertificate),
        ];
        let connect = connect.into_iter().map(|(error, kind)| (Phase::Connect, error, kind));
        let handshake = handshake.into_iter().map(|(error, kind)| (Phase::Tls, error, kind));
        for (phase, error, kind) in connect.chain(handshake) {
            assert_eq!(Kind::of(&error, phase), kind, "{phase:?}: {error}");
        }
    }

    #[test]
    fn what_is_of_this_machine_is_not_held_against_the_server() {
        use ConnectFailureKind as Kind;

        for (kind, blame, is_temporary) in [
            (Kind::NoAddress, Blame::Dns, true),
            (Kind::Local, Blame::Local, true),
            (Kind::Unsupported, Blame::Local, false),
            (Kind::Refused, Blame::Server, true),
            (Kind::Closed, Blame::Server, true),
            (Kind::TlsAlert, Blame::Server, false),
            (Kind::Expired, Blame::Server, false),
            (Kind::Http, Blame::Server, true),
        ] {
            assert_eq!((kind.blame(), kind.is_temporary()), (blame, is_temporary), "{kind}");
        }
        assert_eq!(serde_json::to_value(Kind::NotYetValid).unwrap(), "not_yet_valid");
    }
}
