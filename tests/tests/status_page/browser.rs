//! The pages in a real Chromium: they load, update themselves, work without scripts and with the keyboard, and print.

use pushscale_tests::chromium::Chromium;
use serde_json::json;

use super::support::{Fleet, SCALER_PAGE, policy};

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_updates_itself() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let mut fleet = Fleet::start().await;
    browser.open_live(&fleet.url("/")).await;
    let replicas = "document.getElementById('models/torchserve').cells[2].textContent";
    assert_eq!(browser.evaluate(replicas).await, json!("2"));
    fleet.scale_up().await;
    browser.until(&format!("{replicas} !== '2'")).await;
    fleet.cluster.add_scaler("second", &policy(), 1).await;
    browser
        .until("document.getElementById('models/second') !== null")
        .await;
    let order = "[...document.getElementById('scalers').children].map(row => row.id).join()";
    assert_eq!(
        browser.evaluate(order).await,
        json!("models/second,models/torchserve")
    );
    fleet.cluster.remove_scaler("second").await;
    browser
        .until("document.getElementById('models/second') === null")
        .await;
    assert_eq!(browser.errors(), [""; 0]);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_appears_and_keeps_what_is_open_and_focused() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let mut fleet = Fleet::start().await;
    browser.open_live(&fleet.url(SCALER_PAGE)).await;
    let oldest = "document.querySelector('.timeline > li:last-child details')";
    browser
        .evaluate(&format!("{oldest}.firstElementChild.focus()"))
        .await;
    browser.press("Enter").await;
    browser.until(&format!("{oldest}.open")).await;
    let id = browser.evaluate(&format!("{oldest}.id")).await;
    let count = "document.querySelectorAll('.timeline > li').length";
    let before = browser.evaluate(count).await;
    fleet.scale_up().await;
    browser.until(&format!("{count} > {before}")).await;
    let state = format!("[document.getElementById({id}).open, document.activeElement.id]");
    let summary = format!("{}-summary", id.as_str().unwrap());
    assert_eq!(browser.evaluate(&state).await, json!([true, summary]));
    let steps = "document.querySelectorAll('.timeline details[open] ol li').length";
    assert!(browser.evaluate(steps).await.as_u64().unwrap() > 0);
    assert_eq!(browser.errors(), [""; 0]);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_can_be_paused() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let mut fleet = Fleet::start().await;
    browser.open_live(&fleet.url("/")).await;
    let connection = "document.getElementById('connection').textContent";
    let replicas = "document.getElementById('models/torchserve').cells[2].textContent";
    browser
        .evaluate("document.getElementById('pause').click()")
        .await;
    assert_eq!(browser.evaluate(connection).await, json!("Paused"));
    fleet.scale_up().await;
    assert_eq!(browser.evaluate(replicas).await, json!("2"));
    browser
        .evaluate("document.getElementById('pause').click()")
        .await;
    browser.until(&format!("{replicas} !== '2'")).await;
    assert_eq!(browser.errors(), [""; 0]);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_page_is_not_updated() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let fleet = Fleet::start().await;
    fleet.cluster.add_scaler("other", &policy(), 1).await;
    browser.open_live(&fleet.url("/")).await;
    let connection = "document.getElementById('connection').textContent";
    let rows = "document.querySelectorAll('#scalers > tr').length";
    browser.until(&format!("{rows} === 2")).await;
    for (hidden, state) in [(true, "Paused"), (false, "Live")] {
        if !hidden {
            fleet.cluster.remove_scaler("other").await;
        }
        let property = format!("{{value: {hidden}, configurable: true}}");
        let hide = format!("Object.defineProperty(document, 'hidden', {property})");
        browser.evaluate(&hide).await;
        let changed = "document.dispatchEvent(new Event('visibilitychange'))";
        browser.evaluate(changed).await;
        browser.until(&format!("{connection} === '{state}'")).await;
    }
    browser.until(&format!("{rows} === 1")).await;
    assert_eq!(browser.errors(), [""; 0]);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_work_without_scripts() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let mut fleet = Fleet::start().await;
    fleet.push_until(4.0, "arrivals: ").await;
    browser.set_scripts(false).await;
    browser.open(&fleet.url("/")).await;
    let text = browser.evaluate("document.body.innerText").await;
    assert!(
        text.as_str().unwrap().contains("models/torchserve"),
        "{text}"
    );
    let refresh = "document.querySelector('noscript meta[http-equiv=refresh]').content";
    assert_eq!(browser.evaluate(refresh).await, json!("10; url=./"));
    let hidden = "document.getElementById('pause').hidden";
    assert_eq!(browser.evaluate(hidden).await, json!(true));
    browser.open(&fleet.url(SCALER_PAGE)).await;
    let text = browser.evaluate("document.body.innerText").await;
    for part in [
        "Load",
        "Queue latency",
        "The last decision, step by step",
        "arrivals: ",
    ] {
        assert!(text.as_str().unwrap().contains(part), "{part}: {text}");
    }
    // The decision opens by itself.
    let details = "document.querySelector('.timeline details')";
    browser
        .evaluate(&format!("{details}.firstElementChild.focus()"))
        .await;
    browser.press("Enter").await;
    browser.until(&format!("{details}.open")).await;
    assert_eq!(browser.errors(), [""; 0]);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_stays_open_across_reloads_without_scripts() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let mut fleet = Fleet::start().await;
    fleet.push_until(4.0, "arrivals: ").await;
    browser.open(&fleet.url(SCALER_PAGE)).await;
    let oldest = "document.querySelector('.timeline > li:last-child details')";
    let id = browser.evaluate(&format!("{oldest}.id")).await;
    // Without scripts, the page reloads itself, which can end any expression: each one is repeated until it is true.
    browser.set_scripts(false).await;
    browser.open(&fleet.url(SCALER_PAGE)).await;
    let open = "document.querySelector('.timeline details[open]')";
    let click = |details: &str, is_done: &str| {
        let link = format!("{details}?.querySelector('summary a')");
        // Once per page, because another click would restart a slow navigation.
        format!(
            "{is_done} || ({link} && !window.clicked && (window.clicked = true, {link}.click()), false)"
        )
    };
    let is_open = format!("{open}?.id === {id}");
    browser.until(&click(oldest, &is_open)).await;
    browser
        .until(&format!("{is_open} && window.scrollY > 0"))
        .await;
    // Its reader keeps the place.
    let mark = "window.isOld = true";
    let is_reloaded = "window.isOld !== true";
    for _ in 0..2 {
        browser.until(mark).await;
        browser
            .until(&format!("{is_reloaded} && {is_open} && window.scrollY > 0"))
            .await;
    }
    let is_closed = format!("document.querySelector('.timeline') !== null && {open} === null");
    browser.until(&click(open, &is_closed)).await;
    // It still reloads.
    browser.until(mark).await;
    browser
        .until(&format!("{is_reloaded} && {is_closed}"))
        .await;
    assert_eq!(browser.errors(), [""; 0]);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_print_has_the_steps_and_no_controls() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let mut fleet = Fleet::start().await;
    fleet.push_until(4.0, "arrivals: ").await;
    browser.open(&fleet.url(SCALER_PAGE)).await;
    let step = "document.querySelector('.timeline details ol li').checkVisibility(\
                { contentVisibilityAuto: true })";
    assert_eq!(browser.evaluate(step).await, json!(false));
    browser.set_media("print", "light").await;
    browser.until(step).await;
    let live = "document.getElementById('live').checkVisibility()";
    assert_eq!(browser.evaluate(live).await, json!(false));
    fleet.cluster.end().await;
}
