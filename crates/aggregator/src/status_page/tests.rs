use std::sync::Arc;

use http_body_util::BodyExt as _;
use pushscale_decision::{MeasuredLoad, Step};

use super::*;
use crate::history::tests::{decision, key, record, steps, subject};
use crate::history::{HistorySender, LoadSample};

const HOSTILE: &str = "</li><script>alert(1)</script>\r\n\r\ndata: \"'&";

fn status_page(history: &History) -> StatusPage {
    StatusPage::new(history.clone(), Leadership::unlimited(), Shutdown::new())
}

fn history() -> (History, HistorySender, impl Future<Output = ()>) {
    let mut registry = prometheus_client::registry::Registry::default();
    History::start(crate::metrics::Metrics::register(&mut registry))
}

async fn body(page: &StatusPage, path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let reply = page.page(path, query).await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK, "{path}");
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Returns the events until the stream has sent everything once.
async fn first_events(page: &StatusPage, path: &str) -> String {
    let mut body = page.page(path, "").await.unwrap().into_body();
    let mut events = String::new();
    // The last part of the scaler's page, and the only row of the overview.
    while !events.contains("id=\"table\"") && !events.contains("<tr id=") {
        let frame = body.frame().await.unwrap().unwrap();
        events.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    events
}

#[tokio::test]
async fn the_load_is_a_csv_page_of_a_known_scaler() {
    let (history, mut sender, task) = history();
    let (subject, decision) = (subject("a"), Arc::new(decision(steps(8.0))));
    sender.decided(&subject, &decision, true);
    let sample = LoadSample {
        number: 5,
        start: "2026-01-05T08:00:00Z".parse().unwrap(),
        load: MeasuredLoad {
            rate: Some(8.0),
            service: Some(0.125),
        },
    };
    sender.load(&subject, sample);
    drop(sender);
    task.await;
    let page = status_page(&history);
    let csv = body(&page, "/debug/scalers/models/a/load.csv").await;
    assert!(
        csv.ends_with("\n0,8,2026-01-05T08:00:00Z,0.125,4,0,3\n"),
        "{csv}"
    );
    assert!(
        page.page("/debug/scalers/models/b/load.csv", "")
            .await
            .is_none()
    );
}

#[tokio::test]
async fn hostile_steps_are_text() {
    let history = History::default();
    let steps = vec![Step::MetricFailed {
        model: Some(HOSTILE.into()),
        problem: "no reading",
    }];
    let mut decision = decision(steps);
    if let Some(condition) = &mut decision.conditions.able_to_scale {
        condition.message = HOSTILE.to_owned();
    }
    let now = Timestamp::now().as_second();
    record(&history, "a", now, decision);
    let page = status_page(&history);
    for path in ["/", "/scalers/models/a"] {
        let html = body(&page, path).await;
        assert_eq!(html.matches("<script").count(), 1, "{html}");
        assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
    }
    for path in ["/events", "/events/models/a"] {
        let events = first_events(&page, path).await;
        assert!(!events.contains("<script"), "{events}");
        for line in events.lines().filter(|line| !line.is_empty()) {
            let fields = ["event: ", "data: ", "retry: "];
            assert!(
                fields.iter().any(|field| line.starts_with(field)),
                "{line:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_scaler_page_shows_the_figures_and_the_steps() {
    let history = History::default();
    let now = Timestamp::now().as_second();
    record(&history, "a", now - 20, decision(Vec::new()));
    record(&history, "a", now, decision(steps(84.0)));
    let html = body(&status_page(&history), "/scalers/models/a").await;
    for text in [
        "<dt>load</dt><dd>84/s</dd>",
        "<dt>service time</dt><dd>100ms</dd>",
        "<dt>utilisation</dt><dd>70%</dd>",
        "<dt>minimum by schedule</dt><dd>2</dd>",
        "<dt>hold</dt><dd>3 for 300 s</dd>",
        "<li>arrivals: ",
        "scales Deployment/a",
        "<svg class=\"chart\"",
        "role=\"img\"",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
    assert_eq!(html.matches("<details id=\"decision-").count(), 2, "{html}");
}

#[tokio::test]
async fn a_decision_stays_open_across_reloads_without_a_script() {
    let history = History::default();
    let now = Timestamp::now().as_second();
    for (ago, rate) in [(40, 40.0), (20, 20.0)] {
        record(&history, "a", now - ago, decision(steps(rate)));
    }
    let page = status_page(&history);
    let path = "/scalers/models/a";
    let opened = |html: &str| -> Vec<String> {
        let details = html.split("<details id=\"").skip(1);
        let open = details.filter_map(|rest| rest.split_once('>')?.0.strip_suffix("\" open"));
        open.map(str::to_owned).collect()
    };
    let links = |html: &str, words: &str| -> Vec<String> {
        let links = html.split("<a href=\"").skip(1);
        let links = links.filter_map(|rest| rest.split_once("\">"));
        let links = links.filter(|(_, rest)| rest.starts_with(&format!("{words}</a></noscript>")));
        links.map(|(url, _)| url.replace("&#38;", "&")).collect()
    };
    let html = body(&page, path).await;
    assert_eq!(opened(&html), [""; 0], "{html}");
    let keep = links(&html, "keep open");
    assert_eq!(keep.len(), 2, "{html}");
    // The link leads to the summary of the decision that it opens.
    let (url, fragment) = keep[1].split_once('#').unwrap();
    let decision = fragment.strip_suffix("-summary").unwrap();
    assert!(
        html.contains(&format!("<summary id=\"{fragment}\"")),
        "{html}"
    );
    let open = body(&page, &format!("{path}{url}")).await;
    assert_eq!(opened(&open), [decision], "{open}");
    assert_eq!(links(&open, "keep open").len(), 1);
    // A new decision leaves it open, and the page still reloads.
    record(
        &history,
        "a",
        now,
        crate::history::tests::decision(steps(84.0)),
    );
    let next = body(&page, &format!("{path}{url}")).await;
    assert_eq!(opened(&next), [decision], "{next}");
    let reload = format!("content=\"10; url=a{url}\"></noscript>");
    assert!(next.contains(&reload), "{next}");
    assert!(html.contains("content=\"10; url=a\"></noscript>"), "{html}");
    let [close] = links(&next, "close").try_into().unwrap();
    let (close, back) = close.split_once('#').unwrap();
    assert_eq!((close, back), ("a", fragment));
    let closed = body(&page, path).await;
    assert_eq!(opened(&closed), [""; 0], "{closed}");
    // A page with another query is the page.
    for query in ["?decision=", "?decision=a", "?decision=99999", "?x=1&y"] {
        let html = body(&page, &format!("{path}{query}")).await;
        assert_eq!(opened(&html), [""; 0], "{query}");
    }
}

#[tokio::test]
async fn a_scaler_with_an_invalid_spec_needs_attention() {
    let (history, mut sender, task) = history();
    sender.applied(
        &crate::history::tests::subject("b"),
        vec!["spec.minReplicas: too large".to_owned()],
    );
    drop(sender);
    task.await;
    let html = body(&status_page(&history), "/").await;
    assert!(html.contains("needs attention<br>"), "{html}");
    assert!(html.contains("spec.minReplicas: too large"), "{html}");
    let html = body(&status_page(&history), "/scalers/models/b").await;
    assert!(html.contains("needs attention: spec.minReplicas: too large"));
}

#[tokio::test(start_paused = true)]
async fn only_changed_parts_are_sent_again() {
    let history = History::default();
    let now = Timestamp::now().as_second();
    record(&history, "a", now, decision(steps(84.0)));
    let page = status_page(&history);
    let mut body = page.page("/events/models/a", "").await.unwrap().into_body();
    let mut next = async || {
        let frame = body.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert_eq!(next().await, "retry: 2000\n\n");
    for id in [
        "figures",
        "charts",
        "steps",
        "timeline",
        "conditions",
        "table",
    ] {
        let event = next().await;
        assert!(event.starts_with(&format!("event: fragment\ndata: <section id=\"{id}\"")));
    }
    // Nothing has changed.
    assert_eq!(next().await, ":\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_page_without_changes_gets_comments_while_others_change() {
    let (history, mut sender, task) = history();
    let now = Timestamp::now().as_second();
    record(&history, "a", now, decision(steps(84.0)));
    tokio::spawn(task);
    tokio::spawn(async move {
        loop {
            sender.applied(&crate::history::tests::subject("b"), Vec::new());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let page = status_page(&history);
    let mut body = page.page("/events/models/a", "").await.unwrap().into_body();
    let comments = async {
        let mut comments = 0;
        while comments < 2 {
            let frame = body.frame().await.unwrap().unwrap();
            comments += usize::from(frame.data_ref().unwrap() == ":\n\n");
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, comments).await.unwrap();
}

#[tokio::test]
async fn a_thousand_rows_of_an_hour_are_small() {
    let history = History::default();
    let now = Timestamp::now().as_second();
    let decision = decision(steps(84.0));
    for scaler in 0..1000 {
        for point in (0..360).step_by(6) {
            let name = format!("scaler-{scaler}");
            record(&history, &name, now - 3600 + point * 10, decision.clone());
        }
    }
    let html = body(&status_page(&history), "/").await;
    assert!(html.len() < 3 << 20, "{}", html.len());
}

#[tokio::test]
async fn streams_share_the_rendered_rows() {
    let history = History::default();
    record(&history, "a", 100, decision(Vec::new()));
    let page = status_page(&history);
    let first = page.overview().await.unwrap();
    let second = page.overview().await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.rows[0].id, key("a").to_string());
}
