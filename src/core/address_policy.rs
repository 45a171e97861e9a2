use ipnet::IpNet;
use std::net::IpAddr;
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AddressPolicy {
    allow: Vec<IpNet>,
    block: Vec<IpNet>,
}
impl Default for AddressPolicy {
    fn default() -> Self {
        Self {
            allow: vec![],
            block: [
                "10.0.0.0/8",
                "127.0.0.0/8",
                "192.0.2.0/24",
                "::1/128",
                "169.254.0.0/16",
                "::ffff:0:0/96",
            ]
            .iter()
            .map(|x| x.parse().unwrap())
            .collect(),
        }
    }
}
impl AddressPolicy {
    pub fn allow(mut self, n: IpNet) -> Self {
        self.allow.push(n);
        self
    }
    pub fn check(&self, a: IpAddr) -> Result<(), BlockedRange> {
        if self.allow.iter().any(|n| n.contains(&a)) {
            return Ok(());
        }
        match self.block.iter().find(|n| n.contains(&a)) {
            Some(n) => Err(BlockedRange(*n)),
            None => Ok(()),
        }
    }
}
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct BlockedRange(IpNet);
impl std::fmt::Display for BlockedRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
