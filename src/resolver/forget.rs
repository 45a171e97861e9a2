//! Forgetting on request: what is remembered, and what is under way.

use std::collections::HashSet;

use super::Inner;
use super::memory::LookedUp;
use crate::core::dns::{DnsAnswer, DnsQuestion, Records, Service};
use crate::core::names::dns_name::DnsName;
use crate::core::names::host::Host;
use crate::core::names::server_name::ServerName;
use crate::core::well_known::document::WellKnown;

impl Inner {
    /// Forgets a name and all hosts that its answer rests on, as far as they are known.
    pub(super) fn forget(&self, name: &ServerName) {
        let hosts = self.hosts_of(name);
        let now = self.runtime.now().wall;
        for host in &hosts {
            self.memory.forget_host(host, now);
        }
        self.memory.forget_target(name);
        self.discoveries.forget(|other| {
            let host = other.to_host().ok();
            other == name
                || host.as_ref().and_then(Host::as_dns).is_some_and(|it| hosts.contains(it))
        });
        self.well_known.forget(|host| hosts.contains(host));
        self.questions.forget(|question| hosts.contains(question.host()));
    }

    /// Forgets everything.
    pub(super) fn forget_all(&self) {
        self.memory.clear(self.runtime.now().wall);
        self.discoveries.forget(|_| true);
        self.well_known.forget(|_| true);
        self.questions.forget(|_| true);
    }

    fn hosts_of(&self, name: &ServerName) -> HashSet<DnsName> {
        let mut hosts: HashSet<DnsName> = HashSet::new();
        if let Some(earlier) = self.memory.earlier_target(name) {
            hosts.extend(earlier.hosts());
        }
        let Ok(Host::Dns(host)) = name.to_host() else { return hosts };
        let mut with_srv = vec![host.clone()];
        if let Some(known) = self.memory.earlier_well_known(&host) {
            let document = known.answer.last_document();
            with_srv.extend(document.map(WellKnown::host).and_then(Host::as_dns).cloned());
            hosts.extend(redirected_to(&known));
        }
        for host in with_srv {
            for service in Service::ALL {
                let question = DnsQuestion::Srv { host: host.clone(), service };
                let part = self.memory.earlier_dns(&question);
                let said = part.as_ref().and_then(|part| part.last_said());
                if let Some(DnsAnswer::Found { records: Records::Srv(records), .. }) = said {
                    let targets = records.iter().map(|it| it.target.trim_end_matches('.'));
                    hosts.extend(targets.filter_map(|it| it.parse().ok()));
                }
            }
            hosts.insert(host);
        }
        hosts
    }
}

/// The hosts that a well-known was fetched from.
fn redirected_to(known: &LookedUp) -> impl Iterator<Item = DnsName> + '_ {
    let hops = known.lookup.iter().flat_map(|lookup| &lookup.hops);
    hops.filter_map(|hop| hop.url.host().as_dns().cloned())
}
