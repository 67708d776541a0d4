//! `pushscale-aggregator check URL…`: asks each page and says what it answers. The image has no other program, and
//! `helm test` needs one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use thiserror::Error;

/// For each step of one page.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a page is not as it should be.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Not a URL of this form.
    #[error("{0} is not a page: it must be http://HOST:PORT/PATH")]
    Url(String),
    /// Nobody answers.
    #[error("failed to reach {url} (does the pod run, and does a NetworkPolicy let this one in?)")]
    Unreachable {
        /// The page.
        url: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// It answers something else than 200.
    #[error("{url} is not healthy: it answers {said:?}; see the log of the pod behind it")]
    NotReady {
        /// The page.
        url: String,
        /// The first line of the answer.
        said: String,
    },
}

/// Asks a page once; it must answer 200.
///
/// # Errors
/// It does not.
pub fn check(url: &str) -> Result<(), CheckError> {
    let parts = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'));
    let (host, path) = parts.ok_or_else(|| CheckError::Url(url.to_owned()))?;
    let said = ask(host, path).map_err(|source| CheckError::Unreachable {
        url: url.to_owned(),
        source,
    })?;
    let said = said.lines().next().unwrap_or_default().to_owned();
    if said.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let url = url.to_owned();
    Err(CheckError::NotReady { url, said })
}

fn ask(host: &str, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(host)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    write!(
        connection,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    // A page is short; who sends without end is cut off.
    let mut answer = Vec::new();
    connection.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let read = connection.read(&mut asked).unwrap();
            assert!(asked[..read].starts_with(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1:"));
            connection.write_all(answer.as_bytes()).unwrap();
        });
        format!("http://{address}/ready")
    }

    #[test]
    fn a_page_that_answers_200_is_well() {
        check(&server("HTTP/1.1 200 OK\r\n\r\nok")).unwrap();
    }

    #[test]
    fn what_is_not_well_is_told() {
        let unready = server("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let said = check(&unready).unwrap_err().to_string();
        assert_eq!(
            said,
            format!(
                "find {unready} well: it answers \"HTTP/1.1 503 Service Unavailable\", and the log of the pod behind it says why"
            )
        );
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let nobody = format!("http://{free}/ready");
        assert!(matches!(
            check(&nobody),
            Err(CheckError::Unreachable { .. })
        ));
        for wrong in ["https://a:1/ready", "a:1/ready", "http://a:1"] {
            assert!(matches!(check(wrong), Err(CheckError::Url(_))), "{wrong}");
        }
    }
}
