//! Limits on what is asked and read, and on how long each thing may take.

use std::time::Duration;

use super::MINUTE;
use super::setting::settings;
use crate::core::dns::WeightedOrder;
use crate::core::phase_limits::PhaseLimits;
use crate::core::well_known::FetchLimits;

settings! {
    /// Limits on what is asked and read.
    #[derive(Eq)]
    pub struct Limits {
        /// The most SRV records used of a set; those that would be tried first are kept. Default
        /// 20, at most 64.
        srv_records: usize = 20, within(1..=WeightedOrder::MOST, "no SRV record could be used");
        /// The most queries sent to DNS for one discovery without its well-known. A question counts as one
        /// if it finds records without an alias, else as three, as many as it may take
        /// (`DnsConfig::alias_queries`); what is remembered counts as
        /// none. SRV targets for whose addresses the rest does not suffice are left out, with a warning
        /// ([`Warning::SrvTargetNotAsked`](crate::Warning::SrvTargetNotAsked)). Default 100: enough for the
        /// largest set of targets with one family each.
        dns_queries: usize = 100, at_least(12, "not even a name without SRV records could be resolved");
        /// The most addresses used of each family of a host. Default 8.
        addresses_per_family: usize = 8, at_least(1, "no address could be used");
        /// The most redirects followed. Default 10; Synapse 20.
        redirects: usize = 10;
        /// The most retries of a fetch that failed. There are retries only within the limit for all
        /// of the well-known, for a host that is known to delegate and whose last answer is too old
        /// to be served. Default 3.
        retries: u32 = 3;
        /// The most bytes of the status line and headers of a response. Default 16 KiB.
        head_bytes: usize = FetchLimits::default().head_bytes,
            at_least(1, "every well-known response would be too large");
        /// The most header lines of a response. Default 1,000.
        head_lines: usize = FetchLimits::default().head_lines,
            at_least(1, "every well-known response would be too large");
        /// The most bytes of the body of a well-known. Default 51,200, as in Synapse and
        /// gomatrixserverlib. A larger body is never parsed.
        body_bytes: usize = FetchLimits::default().body_bytes,
            at_least(1, "every well-known response would be too large");
    }
}

settings! {
    /// How long each thing may take.
    #[derive(Eq)]
    pub struct TimeLimits {
        /// How long one DNS question may take, retries included. Default 5 s. An adapter that has
        /// not answered a quarter of a second later counts as timed out.
        dns: Duration = Duration::from_secs(5), not_zero("every DNS question would time out");
        /// How long connecting to one address and the TLS handshake with it may take.
        phases: PhaseLimits;
        /// How long one HTTP exchange may take, from the first byte of the request. Default 10 s.
        exchange: Duration = FetchLimits::default().exchange,
            not_zero("every well-known fetch would time out");
        /// How long all of the well-known may take: its DNS, every hop, every retry. Default 15 s.
        /// Then it counts as a temporary failure, and step 4 begins.
        well_known: Duration = FetchLimits::default().total,
            not_zero("every well-known fetch would time out");
        /// The pause before the first retry of a fetch; each further pause is twice as long.
        /// Default 500 ms.
        retry_pause: Duration = Duration::from_millis(500);
        /// How long the whole discovery may take. Default 30 s.
        discovery: Duration = Duration::from_secs(30), not_zero("every discovery would time out");
        /// How long the fetch waits for the other address family once one has answered (RFC 8305
        /// section 3). Default 50 ms.
        fetch_grace: Duration = Duration::from_millis(50);
        /// How long the answer waits for the other address family once one has answered. Default
        /// 250 ms.
        family_grace: Duration = Duration::from_millis(250);
        /// How long the answer waits for other SRV targets once one has an address. Default 1 s.
        target_grace: Duration = Duration::from_secs(1);
        /// How long nothing is asked again after this machine could not ask: it has no socket or memory
        /// left, or no network. Doubled each time in a row, up to [`local_pause_most`](Self::local_pause_most).
        /// Default 1 s.
        local_pause: Duration = Duration::from_secs(1), <= local_pause_most;
        /// The longest of those pauses. Default 30 s.
        local_pause_most: Duration = Duration::from_secs(30);
        /// The longest lifetime of a degraded answer, if none of its parts expires sooner. Default
        /// 2 min.
        degraded: Duration = 2 * MINUTE;
    }
}
