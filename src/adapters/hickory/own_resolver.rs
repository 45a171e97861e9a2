//! `Dns` on a hickory resolver that the application has already.

use std::fmt;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;

use super::config::DnsConfig;
use super::query::to_ask;
use super::reply::{records, seconds};
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord};
use crate::local_trouble::is_exhaustion;
use crate::resolver::traits::Dns;
use crate::runtime::BoxFuture;

/// [`Dns`] on a [`hickory_resolver::TokioResolver`] of the application, for those who have one and want
/// its servers, transports and cache.
///
/// Names are absolute, and `.onion` is never asked for. [`HickoryDns`](crate::HickoryDns) reports more and
/// tolerates more. With hickory's own resolver:
///
/// - an SRV answer behind a CNAME may be lost: hickory reports that there is none;
/// - the time limits, retries and the order of servers are those of its options. A discovery waits for
///   [`TimeLimits::dns`](crate::config::TimeLimits::dns) at most;
/// - its cache stands below this crate's: an answer may be as old as the cache lets it be, with its TTL
///   counted down, and [`Resolver::invalidate`](crate::Resolver::invalidate) does not reach it;
/// - a failure does not say which server did what;
/// - whether an alias was followed to addresses shows only where hickory keeps the name of the records.
///
/// ```
/// use hickory_resolver::TokioResolver;
/// use hickory_resolver::config::ResolverConfig;
/// use hickory_resolver::net::runtime::TokioRuntimeProvider;
/// use matrix_delegation::adapters::HickoryResolverDns;
///
/// let config = ResolverConfig::default();
/// let mine = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build()?;
/// let dns = HickoryResolverDns::from(mine);
/// # let _ = dns;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct HickoryResolverDns(TokioResolver);

impl From<TokioResolver> for HickoryResolverDns {
    fn from(resolver: TokioResolver) -> Self {
        Self(resolver)
    }
}

impl HickoryResolverDns {
    async fn answer(&self, question: DnsQuestion) -> DnsAnswer {
        let (name, record_type) = match to_ask(&question) {
            Ok(to_ask) => to_ask,
            Err(answer) => return answer,
        };
        let found = match self.0.lookup(name.clone(), record_type).await {
            Ok(found) => found,
            Err(error) => return failed(&error),
        };
        let answers = found.answers();
        let of_type: Vec<_> = answers.iter().filter(|it| it.record_type() == record_type).collect();
        let ttl = answers.iter().map(|it| it.ttl).min();
        let Some(ttl) = ttl.filter(|_| !of_type.is_empty()).map(seconds) else {
            return DnsAnswer::None { kind: NoRecord::NoData, ttl: None };
        };
        let alias = answers.iter().any(|it| it.name != name || matches!(it.data, RData::CNAME(_)));
        let most = DnsConfig::default().records;
        DnsAnswer::Found { records: records(record_type, &of_type, most), ttl, alias }
    }
}

/// Returns what an error of hickory's says: some are answers.
fn failed(error: &NetError) -> DnsAnswer {
    let (failure, no_records) = match error {
        NetError::Dns(DnsError::NoRecordsFound(no_records)) => {
            (of_code(no_records.response_code), Some(no_records))
        }
        NetError::Dns(DnsError::ResponseCode(code)) => (of_code(*code), None),
        NetError::Timeout => (Err(DnsFailure::Timeout), None),
        NetError::Io(error) if is_exhaustion(error) => (Err(DnsFailure::Local), None),
        NetError::Io(_) | NetError::NoConnections | NetError::Busy => {
            (Err(DnsFailure::Network), None)
        }
        _ => (Err(DnsFailure::Malformed), None),
    };
    match failure {
        Ok(kind) => {
            let negative_ttl = |it: &NoRecords| it.negative_ttl.map(seconds);
            DnsAnswer::None { kind, ttl: no_records.and_then(negative_ttl) }
        }
        Err(failure) => DnsAnswer::Failed { failure, detail: error.to_string() },
    }
}

/// Returns what a reply without records says by its code.
const fn of_code(code: ResponseCode) -> Result<NoRecord, DnsFailure> {
    match code {
        ResponseCode::NoError => Ok(NoRecord::NoData),
        ResponseCode::NXDomain => Ok(NoRecord::NxDomain),
        ResponseCode::NotImp => Ok(NoRecord::NotImplemented),
        ResponseCode::ServFail => Err(DnsFailure::ServFail),
        ResponseCode::Refused => Err(DnsFailure::Refused),
        _ => Err(DnsFailure::Malformed),
    }
}

impl Dns for HickoryResolverDns {
    fn lookup(&self, question: DnsQuestion) -> BoxFuture<'_, DnsAnswer> {
        Box::pin(self.answer(question))
    }
}

impl fmt::Debug for HickoryResolverDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryResolverDns").finish_non_exhaustive()
    }
}
