//! A ticker that costs one wake-up per tick.
//!
//! tokio's timer wheel wakes a process twice for a tick of one second (to move the timer to a finer wheel, and to fire)
//! and once more through its own wake-up descriptor. Waking a sleeping core costs about 100 µs on the machines where
//! this was measured, and a scrape needs five wake-ups. The kernel's timer, polled like the sockets, saves two of
//! seven.

use std::time::Duration;

#[cfg(target_os = "linux")]
use kernel::Timer;
#[cfg(not(target_os = "linux"))]
use wheel::Timer;

/// Ticks immediately, then at a fixed interval. Missed ticks are combined into one.
#[derive(Debug)]
pub(crate) struct Ticker {
    timer: Timer,
    first: bool,
}

impl Ticker {
    /// Ticks every `interval`, which must not be zero.
    ///
    /// # Errors
    /// If the kernel cannot create a timer.
    pub(crate) fn new(interval: Duration) -> std::io::Result<Self> {
        Ok(Self {
            timer: Timer::new(interval, interval)?,
            first: true,
        })
    }

    /// Ticks after `first`, and then every `interval`; neither must be zero.
    ///
    /// # Errors
    /// If the kernel cannot create a timer.
    pub(crate) fn after(first: Duration, interval: Duration) -> std::io::Result<Self> {
        Ok(Self {
            timer: Timer::new(first, interval)?,
            first: false,
        })
    }

    /// Waits for the next tick. Cancellation-safe.
    pub(crate) async fn tick(&mut self) {
        if std::mem::take(&mut self.first) {
            return;
        }
        self.timer.tick().await;
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(super) fn new(first: Duration, interval: Duration) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let ticks = Itimerspec {
                it_interval: Timespec::try_from(interval).map_err(io::Error::other)?,
                it_value: Timespec::try_from(first).map_err(io::Error::other)?,
            };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
            #[expect(
                deprecated,
                reason = "its replacement is unsafe and requires what an OwnedFd guarantees"
            )]
            let timer = AsyncFd::new(timer)?;
            Ok(Self(timer))
        }

        pub(super) async fn tick(&self) {
            loop {
                let Ok(mut ready) = self.0.readable().await else {
                    // The runtime is shutting down.
                    return std::future::pending().await;
                };
                // The number of ticks since the last read, which does not matter here.
                let mut ticks = [0; 8];
                let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut ticks)?));
                if matches!(read, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod wheel {
    use std::time::Duration;

    use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

    #[derive(Debug)]
    pub(super) struct Timer(Interval);

    impl Timer {
        pub(super) fn new(first: Duration, interval: Duration) -> std::io::Result<Self> {
            let mut ticks = interval_at(Instant::now() + first, interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Ok(Self(ticks))
        }

        pub(super) async fn tick(&mut self) {
            self.0.tick().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn only_the_first_tick_is_immediate() {
        let mut ticker = Ticker::new(Duration::from_millis(50)).unwrap();
        let start = Instant::now();
        for _ in 0..5 {
            ticker.tick().await;
        }
        assert!(start.elapsed() >= Duration::from_millis(200));
    }

    #[tokio::test]
    async fn missed_ticks_are_combined() {
        let mut ticker = Ticker::new(Duration::from_millis(100)).unwrap();
        ticker.tick().await;
        std::thread::sleep(Duration::from_millis(550));
        let start = Instant::now();
        ticker.tick().await;
        ticker.tick().await;
        ticker.tick().await;
        // One tick for the stall, the second at 600 ms, the third at 700 ms.
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
}
