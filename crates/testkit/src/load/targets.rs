//! Chooses the server for each request.

use std::net::SocketAddr;

use tokio::sync::watch;

/// The targets of a load.
#[derive(Debug, Clone)]
pub enum Targets {
    /// All requests go to one address.
    Fixed(SocketAddr),
    /// The requests go in turn to the addresses of a list that may change while the load runs. With an empty list a
    /// request fails at once, as with a Service without endpoints.
    Changing(watch::Receiver<Vec<SocketAddr>>),
}

/// Chooses targets, and keeps the state of the choice.
pub(super) struct Chooser {
    targets: Targets,
    turn: usize,
}

impl Chooser {
    pub(super) fn new(targets: Targets) -> Self {
        Self { targets, turn: 0 }
    }

    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        let list = match &self.targets {
            Targets::Fixed(address) => return Some(*address),
            Targets::Changing(list) => list.borrow(),
        };
        let index = self.turn.checked_rem(list.len())?;
        self.turn = self.turn.wrapping_add(1);
        list.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        let at = |port: &u16| SocketAddr::from(([127, 0, 0, 1], *port));
        ports.iter().map(at).collect()
    }

    #[test]
    fn requests_take_turns_in_a_list_that_changes() {
        let (list, receiver) = watch::channel(addresses(&[1, 2]));
        let mut chooser = Chooser::new(Targets::Changing(receiver));
        let mut ports = |n| -> Vec<_> {
            let picked = (0..n).map(|_| chooser.next().map(|a| a.port()));
            picked.collect()
        };
        assert_eq!(ports(3), [Some(1), Some(2), Some(1)]);
        list.send_replace(vec![]);
        assert_eq!(ports(1), [None]);
        list.send_replace(addresses(&[7]));
        assert_eq!(ports(2), [Some(7), Some(7)]);
    }
}
