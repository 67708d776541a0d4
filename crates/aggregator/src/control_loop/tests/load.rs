//! The load history: what the pods report appears in it, and what they do not report is a gap.

use pushscale_decision::Counters;

use super::*;

/// Reports the pods' counts of this second: `rate` requests of 100 ms per second and pod.
pub(super) fn push_second(fixture: &mut Fixture, pods: &[&str], rate: u64, second: u64) {
    let requests = rate * second;
    let sojourn = Duration::from_millis(100) * u32::try_from(requests).unwrap();
    for pod in pods {
        let model = ModelReading {
            name: "resnet".to_owned(),
            queue_latency: Some(Latency::ZERO),
            counters: Some(Counters {
                arrivals: requests,
                rejected: 0,
                completed: Some(requests),
                total_wait: Duration::ZERO,
                total_sojourn: sojourn,
            }),
            queue: Some(Queue {
                workers: 4,
                batch_size: 1,
                ..Queue::default()
            }),
            ..ModelReading::default()
        };
        fixture.push_model(pod, model);
    }
}

#[tokio::test(start_paused = true)]
async fn the_load_is_recorded_every_ten_seconds_and_a_silence_is_unknown() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({ "algorithm": "Model" }));
    let pods = ["pod-0", "pod-1"];
    fixture.observe("a", 2, &pods);
    for second in 1..=75 {
        fixture.advance(Duration::from_secs(1)).await;
        if !(41..=61).contains(&second) {
            push_second(&mut fixture, &pods, 20, second);
        }
    }
    let csv = fixture.recorded("a").load.csv();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        lines[0],
        [
            "t_seconds",
            "requests_per_second",
            "time",
            "service_seconds",
            "workers",
            "pods_reporting",
            "replicas"
        ]
    );
    let column =
        |column: usize| -> Vec<&str> { lines[1..].iter().map(|line| line[column]).collect() };
    assert_eq!(column(0), ["0", "10", "20", "30", "40", "50"]);
    // Part 40..50 is recorded during the silence; the counts of the others arrive in time.
    let rates: Vec<Option<f64>> = column(1).iter().map(|rate| rate.parse().ok()).collect();
    assert_eq!(
        rates,
        [
            Some(40.0),
            Some(40.0),
            Some(40.0),
            None,
            Some(40.0),
            Some(40.0)
        ],
        "{csv}"
    );
    let service: f64 = lines[1][3].parse().unwrap();
    assert!((service - 0.1).abs() < 0.001, "{csv}");
    assert_eq!(lines[1][4..], ["4", "2", "2"], "{csv}");
}
