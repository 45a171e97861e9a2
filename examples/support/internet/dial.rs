//! Connects the crate's fetch to the embedded internet.

use std::net::SocketAddr;

use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::transport::{Dial, DialStream};

use super::Routes;

impl Dial for Routes {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn DialStream>>> {
        Box::pin(async move {
            let stream = self.connect(address).await?;
            Ok(Box::new(stream) as Box<dyn DialStream>)
        })
    }
}
