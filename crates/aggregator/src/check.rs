//! `pushscale-aggregator check URL…`: requests each page and expects status 200. `helm test` uses it, because the image
//! contains no other program.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use thiserror::Error;

/// Timeout of each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a check failed.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum CheckError {
    #[error("invalid URL {0}: expected http://HOST:PORT/PATH")]
    Url(String),
    #[error(
        "failed to reach {url} (check that the pod is running and that no NetworkPolicy blocks this one)"
    )]
    Unreachable { url: String, source: std::io::Error },
    #[error("{url} responded with {status:?}: see the log of its pod")]
    NotReady { url: String, status: String },
}

/// Requests a page once and expects status 200.
///
/// # Errors
/// If the URL is invalid, the server cannot be reached, or the status is not 200.
pub fn check(url: &str) -> Result<(), CheckError> {
    let parts = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'));
    let (host, path) = parts.ok_or_else(|| CheckError::Url(url.to_owned()))?;
    let response = get(host, path).map_err(|source| CheckError::Unreachable {
        url: url.to_owned(),
        source,
    })?;
    let status = response.lines().next().unwrap_or_default().to_owned();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let url = url.to_owned();
    Err(CheckError::NotReady { url, status })
}

fn get(host: &str, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(host)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    // One write: `write!` on the socket would send the request in several segments.
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    // Pages are short; the limit protects against an endless response.
    let mut response = Vec::new();
    connection.take(64 * 1024).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn serve(response: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = connection.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1:"));
            connection.write_all(response.as_bytes()).unwrap();
        });
        format!("http://{address}/ready")
    }

    #[test]
    fn status_200_passes() {
        check(&serve("HTTP/1.1 200 OK\r\n\r\nok")).unwrap();
    }

    #[test]
    fn failed_checks_name_the_page() {
        let unready = serve("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let error = check(&unready).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "{unready} responded with \"HTTP/1.1 503 Service Unavailable\": see the log of its pod"
            )
        );
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let unused = format!("http://{free}/ready");
        assert!(matches!(
            check(&unused),
            Err(CheckError::Unreachable { .. })
        ));
        for invalid in ["https://a:1/ready", "a:1/ready", "http://a:1"] {
            assert!(
                matches!(check(invalid), Err(CheckError::Url(_))),
                "{invalid}"
            );
        }
    }
}
