//! A cache with one lifetime, to compare with: on a miss the name is resolved against the world as
//! it is right now, step by step, and whatever comes of it is remembered for 24 h, a wrong fallback
//! included. It is spared what it could do worse: an error is not remembered, and nothing is ever
//! pushed out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use matrix_delegation::dns::Service;
use matrix_delegation::time::Monotonic;

use crate::totals::Questions;
use crate::world::{About, DnsSaid, HttpSaid, Kind, Place, Role, World, address, srv_port};

const LIFETIME: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Default)]
pub(crate) struct Naive {
    remembered: HashMap<u32, (Monotonic, Place)>,
    pub(crate) asked: Questions,
}

impl Naive {
    /// `None`: it failed.
    pub(crate) fn resolve(&mut self, world: &World, number: u32, now: Monotonic) -> Option<Place> {
        if let Some((until, place)) = self.remembered.get(&number)
            && now < *until
        {
            return Some(place.clone());
        }
        let place = self.discover(world, number)?;
        self.remembered.insert(number, (now + LIFETIME, place.clone()));
        Some(place)
    }

    fn discover(&mut self, world: &World, number: u32) -> Option<Place> {
        let server = world.server(number);
        let name = server.name(number);
        if server.kind() == Kind::Port {
            return Some((name, self.addresses(world, number, Role::Server, 8500)?));
        }
        let own = self.addresses(world, number, Role::Server, 8448);
        let document = own.as_ref().and_then(|_| {
            self.asked.well_known += 1;
            match world.http(number) {
                HttpSaid::Document(version, _) => Some(version),
                _ => None,
            }
        });
        let (host, role) = match document {
            Some(version) if server.kind() == Kind::DelegatesToPort => {
                let role = Role::Delegated(version);
                let addresses = self.addresses(world, number, role, 443)?;
                return Some((server.delegate(number, version), addresses));
            }
            Some(version) => (server.delegate(number, version), Role::Delegated(version)),
            None => (name, Role::Server),
        };
        for service in [Service::MatrixFed, Service::Matrix] {
            self.asked.srv += 1;
            if let DnsSaid::Found(version, _) = world.dns(number, About::Srv(role, service)) {
                let port = srv_port(u16::try_from(version).unwrap());
                return Some((host, self.addresses(world, number, Role::SrvTarget, port)?));
            }
        }
        match role {
            Role::Server => Some((host, own?)),
            _ => Some((host, self.addresses(world, number, role, 8448)?)),
        }
    }

    fn addresses(
        &mut self,
        world: &World,
        number: u32,
        role: Role,
        port: u16,
    ) -> Option<Vec<SocketAddr>> {
        self.asked.address += 1;
        match world.dns(number, About::Address(role)) {
            DnsSaid::Found(version, _) => {
                Some(vec![SocketAddr::new(address(number, version), port)])
            }
            _ => None,
        }
    }
}
