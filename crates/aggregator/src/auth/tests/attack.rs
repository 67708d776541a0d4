//! Attackers with many addresses, and pods that authenticate meanwhile.

use std::pin::pin;

use super::*;

/// The addresses of the attackers. A hundred, with ten tokens each, reach the limit of all reviews.
const ATTACKERS: u32 = 250;

/// Sends forged tokens, each a new one. The attackers know as many pods as they have addresses.
struct Attack<'a> {
    authenticator: &'a Authenticator,
    tokens: i64,
}

impl<'a> Attack<'a> {
    fn on(authenticator: &'a Authenticator) -> Self {
        Self {
            authenticator,
            tokens: 0,
        }
    }

    /// Sends one token from each of these addresses without waiting for its review.
    async fn send(&mut self, attackers: impl Iterator<Item = u32>) {
        for attacker in attackers {
            self.tokens += 1;
            let headers = token(&claims_of(attacker, 3600 + self.tokens), "slow");
            hang_up(self.authenticator, &headers, address(attacker)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_waits_for_at_most_one_review_of_each_attacker() {
    let (authenticator, reviewer) = authenticator();
    let mut attack = Attack::on(&authenticator);
    for _ in 0..10 {
        attack.send(0..ATTACKERS).await;
    }
    // The API server sees 32 of them, and all others wait.
    let before = reviewer.reviews();
    assert_eq!((before, cached(&authenticator)), (32, (0, 1024)));

    let good = token(&claims(json!("pushscale"), 3600), "good");
    let mut pod = pin!(authenticator.authenticate(&good, address(ATTACKERS), &PLAIN));
    let mut round = 0;
    let result = loop {
        tokio::select! {
            biased;
            result = &mut pod => break result,
            () = tokio::task::yield_now() => {}
        }
        // A review ends, and the attackers send more than that.
        round += 1;
        assert!(round < 10_000, "the pod is not authenticated");
        reviewer.slow.add_permits(1);
        attack
            .send((0..8).map(|attacker| (8 * round + attacker) % ATTACKERS))
            .await;
    };
    assert!(result.is_ok(), "{result:?}");
    let waited = reviewer.reviews_before_good() - before;
    assert!(waited <= ATTACKERS as usize, "{waited}");
}

#[tokio::test(start_paused = true)]
async fn one_attacker_delays_pods_by_one_review() {
    let (authenticator, reviewer) = authenticator();
    let mut attack = Attack::on(&authenticator);
    attack.send([0; 10].into_iter()).await;
    assert_eq!(cached(&authenticator), (0, 10));
    // The API server sees one of them, although it would see 32 at a time.
    assert_eq!(reviewer.reviews(), 1);
    let good = token(&claims(json!("pushscale"), 3600), "good");
    let pod = authenticator.authenticate(&good, address(1), &PLAIN).await;
    assert!(pod.is_ok(), "{pod:?}");
    assert_eq!(reviewer.reviews(), 2);
}

#[tokio::test(start_paused = true)]
async fn attackers_do_not_displace_the_reviews_of_pods() {
    let (authenticator, reviewer) = authenticator();
    // The first 32 reviews do not end, so all others wait.
    let mut attack = Attack::on(&authenticator);
    attack.send(0..32).await;
    let tokens: Vec<_> = (1000..1500)
        .map(|pod| token(&claims_of(pod, 3600), "good"))
        .collect();
    let pods = (ATTACKERS..)
        .zip(&tokens)
        .map(|(number, headers)| authenticator.authenticate(headers, address(number), &PLAIN));
    let mut pods = pin!(futures_util::future::join_all(pods));
    tokio::select! {
        biased;
        _ = &mut pods => unreachable!("the first reviews do not end"),
        () = tokio::task::yield_now() => {}
    }
    for _ in 0..10 {
        attack.send(0..ATTACKERS).await;
    }
    assert_eq!(cached(&authenticator), (0, 1024));
    reviewer.slow.add_permits(10_000);
    let pods = pods.await;
    assert!(pods.iter().all(Result::is_ok), "{pods:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_attackers_with_one_pods_uid_do_not_keep_out_other_pods() {
    let (authenticator, reviewer) = authenticator();
    for attacker in 0..1024 {
        let headers = token(&claims_of(0, 3600 + i64::from(attacker)), "slow");
        let found = hang_up(&authenticator, &headers, address(attacker)).await;
        let expected = (attacker >= 16).then_some(AuthError::ReviewUnavailable);
        assert_eq!(found, expected, "{attacker}");
    }
    let good = token(&claims(json!("pushscale"), 3600), "good");
    let pod = authenticator.authenticate(&good, address(2000), &PLAIN);
    assert!(pod.await.is_ok());
    // The pod itself is authenticated as soon as one of these reviews has ended.
    let own = token(&claims_of(0, 3600), "good");
    let found = authenticator.authenticate(&own, address(2001), &PLAIN);
    assert_eq!(found.await.err(), Some(AuthError::ReviewUnavailable));
    reviewer.slow.add_permits(1);
    while cached(&authenticator).1 > 15 {
        tokio::task::yield_now().await;
    }
    let found = authenticator.authenticate(&own, address(2001), &PLAIN);
    assert!(found.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn attackers_that_know_two_pods_do_not_delay_other_pods() {
    let (authenticator, reviewer) = authenticator();
    // As many addresses as there are requests to the API server at a time.
    for attacker in 0..32 {
        let headers = token(&claims_of(attacker % 2, 3600 + i64::from(attacker)), "slow");
        hang_up(&authenticator, &headers, address(attacker)).await;
    }
    // Two reserved requests of each pod, and all 16 others.
    assert_eq!(reviewer.reviews(), 20);
    let start = Instant::now();
    let tokens: Vec<_> = (1000..1500)
        .map(|pod| token(&claims_of(pod, 3600), "good"))
        .collect();
    let pods = (1000..)
        .zip(&tokens)
        .map(|(number, headers)| authenticator.authenticate(headers, address(number), &PLAIN));
    let pods = futures_util::future::join_all(pods).await;
    assert!(pods.iter().all(Result::is_ok), "{pods:?}");
    // Their reviews have not waited for the end of an attacker's.
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(cached(&authenticator), (500, 32));
}
