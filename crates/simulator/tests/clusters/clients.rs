//! Clients that wait for responses, or do not.

use super::{run, spec};

/// A pod that completes 40 requests per second.
const POD: &str = "seconds: 1200\nservice: 100ms\nworkers: 4\nqueue: 1000\npods: 1\ntarget: 50ms\n";

#[test]
fn clients_that_give_up_repeat_their_requests_and_waste_capacity() {
    let load = "load: step:30->60@300,60->30@600\n";
    let patient = run(&format!("{load}{POD}"));
    let impatient = run(&format!("{load}{POD}retries: 5\ntimeout: 2s\n"));
    assert_eq!((patient.retries, patient.lost), (0, 0));
    assert!(impatient.retries > 5_000, "{}", impatient.retries);
    // The pod processes requests whose clients have given up.
    assert!(impatient.completed + 5_000 < patient.completed);
}

#[test]
fn without_retries_a_request_whose_client_gives_up_is_lost() {
    let outcome = run(&format!("load: flat:80\n{POD}timeout: 2s\n"));
    assert_eq!(outcome.retries, 0);
    assert!(outcome.lost > 40_000, "{}", outcome.lost);
}

#[test]
fn users_wait_for_the_response_before_their_next_request() {
    // 100 users send 100 / (1.9 s + 100 ms) requests per second if they do not wait.
    let relaxed = run(&format!("load: flat:40\n{POD}think-time: 1900ms\n"));
    let rate = relaxed.arrivals as f64 / 1200.0;
    assert!((18.0..22.0).contains(&rate), "{rate} requests per second");
    // 200 users would send 100 per second; the pod completes 40, and never has more than 200 of their requests.
    let crowded = run(&format!("load: flat:200\n{POD}think-time: 1900ms\n"));
    let rate = crowded.arrivals as f64 / 1200.0;
    assert!((38.0..42.0).contains(&rate), "{rate} requests per second");
    assert!(crowded.in_system <= 200 && crowded.rejected == 0);
}

#[test]
fn the_need_and_the_first_pods_are_those_of_the_users_rate() {
    let open = spec("load: flat:100\nseconds: 600\ntarget: 50ms\n");
    let users = spec("load: flat:500\nseconds: 600\ntarget: 50ms\nthink-time: 4900ms\n");
    assert_eq!((users.need(), users.pods), (open.need(), open.pods));
}
