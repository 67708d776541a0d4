//! Keyboard, and axe-core in light and dark colors.

use pushscale_tests::chromium::Chromium;
use serde_json::json;

use super::support::{Fleet, SCALER_PAGE};

/// Everything that a mouse can use, by a selector.
const CONTROLS: &str = "a[href], button, summary, .scroll";

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_everything() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let mut fleet = Fleet::start().await;
    fleet.scale_up().await;
    for path in ["/", SCALER_PAGE] {
        browser.open_live(&fleet.url(path)).await;
        browser
            .evaluate("document.getElementById('pause').click()")
            .await;
        browser
            .evaluate("document.activeElement.blur(); window.reached = new Set(); true")
            .await;
        let controls = format!("document.querySelectorAll({CONTROLS:?})");
        let open = "document.querySelectorAll('details').forEach(it => it.open = true); true";
        browser.evaluate(open).await;
        let count = browser.evaluate(&format!("{controls}.length")).await;
        let count = count.as_u64().unwrap();
        assert!(count >= 4, "{path}: {count}");
        for _ in 0..count + 2 {
            browser.press("Tab").await;
            // The focus is visible.
            let step = "reached.add(document.activeElement); \
                        document.activeElement === document.body || \
                        getComputedStyle(document.activeElement).outlineStyle !== 'none'";
            assert_eq!(browser.evaluate(step).await, json!(true), "{path}");
        }
        let missed = format!(
            "[...{controls}].filter(it => !reached.has(it)).map(it => it.outerHTML.slice(0, 200))"
        );
        assert_eq!(browser.evaluate(&missed).await, json!([]), "{path}");
    }
    // The first stop skips the navigation.
    browser.open(&fleet.url("/")).await;
    browser.press("Tab").await;
    browser.press("Enter").await;
    browser.until("document.activeElement.id === 'main'").await;
    assert_eq!(browser.errors(), [""; 0]);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_no_violation() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    let mut fleet = Fleet::start().await;
    // A pod that does not report, for the colors of a problem.
    fleet.cluster.add_pod("silent").await;
    fleet.scale_up().await;
    fleet.push_until(4.0, "needs attention").await;
    for (width, colors) in [(1280, "light"), (1280, "dark"), (400, "light")] {
        browser.set_size(width, 900).await;
        browser.set_media("screen", colors).await;
        for path in ["/", SCALER_PAGE] {
            browser.open_live(&fleet.url(path)).await;
            // Only what is visible is checked.
            let open = "document.querySelectorAll('details').forEach(it => it.open = true); true";
            browser.evaluate(open).await;
            let violations = browser.violations().await;
            let what = format!("{path} in {colors}, {width} pixels wide");
            assert!(violations.is_empty(), "{what}: {}", violations.join("\n\n"));
            let fits = "document.documentElement.scrollWidth <= window.innerWidth";
            assert_eq!(
                browser.evaluate(fits).await,
                json!(true),
                "{what} scrolls sideways"
            );
        }
    }
    let dark = "getComputedStyle(document.body).backgroundColor";
    let light = browser.evaluate(dark).await;
    browser.set_media("screen", "dark").await;
    assert_ne!(browser.evaluate(dark).await, light);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_can_fail() {
    let Some(mut browser) = Chromium::start().await else {
        return;
    };
    browser
        .open("data:text/html,<p style='color:%23ccc'>pale</p><img src=data:,>")
        .await;
    let violations = browser.violations().await.join("\n");
    for rule in ["color-contrast: ", "image-alt: ", "html-has-lang: "] {
        assert!(violations.contains(rule), "{violations}");
    }
}
