//! Chooses the server for each request.

use std::net::SocketAddr;

use tokio::sync::watch;

/// The targets of a load.
#[derive(Debug, Clone)]
pub enum Targets {
    /// All requests go to one address.
    Fixed(SocketAddr),
    /// Each request goes to one address of a list that may change while the load runs. With an empty list a request
    /// fails at once, as with a Service without endpoints.
    Changing {
        /// The list, read for each request.
        list: watch::Receiver<Vec<SocketAddr>>,
        /// How an address is chosen.
        choice: Choice,
    },
}

/// How one of several targets is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// In turn.
    RoundRobin,
    /// At random, like kube-proxy.
    Random {
        /// The seed. The same seed chooses the same indices of the list.
        seed: u64,
    },
}

/// Chooses targets, and keeps the state of the choice.
pub(super) struct Chooser {
    targets: Targets,
    turn: usize,
    random: fastrand::Rng,
}

impl Chooser {
    pub(super) fn new(targets: Targets) -> Self {
        let seed = match &targets {
            Targets::Changing {
                choice: Choice::Random { seed },
                ..
            } => *seed,
            _ => 0,
        };
        Self {
            targets,
            turn: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        let (list, choice) = match &self.targets {
            Targets::Fixed(address) => return Some(*address),
            Targets::Changing { list, choice } => (list.borrow(), choice),
        };
        match choice {
            Choice::RoundRobin => {
                let index = self.turn.checked_rem(list.len())?;
                self.turn = self.turn.wrapping_add(1);
                list.get(index).copied()
            }
            Choice::Random { .. } => self.random.choice(list.iter()).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chooser(choice: Choice) -> (watch::Sender<Vec<SocketAddr>>, Chooser) {
        let (list, receiver) = watch::channel(addresses(&[1, 2]));
        let targets = Targets::Changing {
            list: receiver,
            choice,
        };
        (list, Chooser::new(targets))
    }

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        let at = |port: &u16| SocketAddr::from(([127, 0, 0, 1], *port));
        ports.iter().map(at).collect()
    }

    #[test]
    fn round_robin_follows_a_list_that_changes() {
        let (list, mut chooser) = chooser(Choice::RoundRobin);
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

    #[test]
    fn random_picks_every_target_about_as_often() {
        let (_list, mut chooser) = chooser(Choice::Random { seed: 3 });
        let first = (0..1000)
            .filter(|_| chooser.next().unwrap().port() == 1)
            .count();
        assert!((400..600).contains(&first), "{first}");
    }
}
