//! One HTTP/1.1 connection, which has buffers only while a request is in progress.
//!
//! hyper keeps two buffers of 8 kB and its state for as long as a connection is open. A sidecar's connection waits for
//! the next reading 99% of the time, and 10,000 of them took 131 MB for nothing.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::limits::Limits;
use super::write_timeout::WriteTimeout;
use crate::error::chain;
use crate::reply::{Reply, ReplyBody};
use crate::shutdown::Shutdown;

/// The most bytes of a request that are read before it gets its buffers.
const FIRST_BYTES: usize = 4096;

/// Serves the requests of one connection until the client closes it, a limit is exceeded, or `shutdown`.
pub(super) async fn serve<T, S>(stream: T, limits: Limits, service: S, shutdown: Shutdown)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Reply, Error = Infallible>,
{
    let mut stream = WriteTimeout::new(stream, limits.idle);
    // Both are registered once per connection. A registration per request takes the lock of all timers, or of all
    // connections that wait for the shutdown; a later deadline of a registered timer takes none.
    let mut deadline = pin!(sleep(limits.idle));
    let mut cancelled = pin!(shutdown.cancelled());
    // What was read of the next request.
    let mut received = Bytes::new();
    loop {
        if received.is_empty() {
            let waited = tokio::select! {
                biased;
                // Checked first, so that a client that always has sent its next request is disconnected as well.
                () = &mut cancelled => {
                    let closed = timeout(limits.grace, stream.shutdown()).await;
                    tracing::trace!(?closed, "idle connection closed");
                    return;
                }
                waited = first_bytes(&mut stream) => waited,
                // The client has sent nothing for too long.
                () = &mut deadline => return,
            };
            match waited {
                Ok(bytes) if !bytes.is_empty() => received = bytes,
                // The client has closed it.
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, "connection failed");
                    return;
                }
            }
        }
        let (deadline_of_head, cancelled) = (deadline.as_mut(), cancelled.as_mut());
        let served = serve_requests(
            &mut stream,
            received,
            limits,
            &service,
            deadline_of_head,
            cancelled,
        );
        match served.await {
            Some(unread) => received = unread,
            None => return,
        }
        deadline.as_mut().reset(Instant::now() + limits.idle);
    }
}

/// Waits for the next bytes; none at the end of the stream.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    poll_fn(|context| {
        let mut buffer = [MaybeUninit::uninit(); FIRST_BYTES];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
    .await
}

/// Serves requests until no further one has arrived, and returns what was read of the next one; `None` if the
/// connection has ended. The head of the first request must arrive before `deadline`.
async fn serve_requests<T, S>(
    stream: &mut WriteTimeout<T>,
    received: Bytes,
    limits: Limits,
    service: &S,
    mut deadline: Pin<&mut Sleep>,
    cancelled: Pin<&mut impl Future<Output = ()>>,
) -> Option<Bytes>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Reply, Error = Infallible>,
{
    let progress = Progress::default();
    let stream = Observed {
        stream,
        received,
        progress: &progress,
    };
    let service = service_fn(|request: Request<Incoming>| {
        progress.request();
        let has_body = !request.body().is_end_stream();
        let reply = service.call(request);
        let progress = &progress;
        async move {
            let mut reply = reply.await?;
            if has_body {
                // The service may have dropped the body unread. Polled once more, hyper notices that before it writes
                // the response: it reads the rest if that has arrived, and otherwise sends `connection: close`.
                // Without this, the rest of the body would be read as the next request.
                yield_now().await;
            }
            if matches!(reply.body(), ReplyBody::Full(_)) {
                progress.replied();
            } else {
                // The end of a stream is not seen here, so nothing would limit the wait for the next request.
                let close = HeaderValue::from_static("close");
                reply.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(reply)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(limits.head_bytes.max(8192))
        .half_close(!limits.detect_hang_up)
        // Copying head and body of a small response into one buffer is cheaper than a gathering write.
        .writev(false)
        .serve_connection(TokioIo::new(stream), service);
    // In a box, so that the memory of an idle connection's task does not contain it.
    let mut connection = Box::new(connection);
    let idle = poll_fn(|context| match Pin::new(&mut connection).poll(context) {
        Poll::Ready(ended) => Poll::Ready(ended.map(|()| false)),
        Poll::Pending if progress.is_idle() => Poll::Ready(Ok(true)),
        Poll::Pending if progress.has_request() => Poll::Pending,
        Poll::Pending => deadline.as_mut().poll(context).map(|()| Ok(false)),
    });
    let outcome = tokio::select! {
        biased;
        outcome = idle => outcome,
        () = cancelled => {
            Pin::new(&mut *connection).graceful_shutdown();
            timeout(limits.grace, &mut connection)
                .await
                .unwrap_or(Ok(()))
                .map(|()| false)
        }
    };
    match outcome {
        // Copied, because even an empty slice would keep the whole buffer alive.
        Ok(true) => Some(Bytes::copy_from_slice(&connection.into_parts().read_buf)),
        Ok(false) => None,
        Err(error) => {
            tracing::debug!(error = %chain(&error), "connection failed");
            None
        }
    }
}

/// Whether hyper has anything left to do for a connection, which its API does not show.
#[derive(Default)]
struct Progress {
    /// The head of a request has arrived.
    requested: AtomicBool,
    /// The last request has its response, which is complete: not a stream.
    replied: AtomicBool,
    /// All that was written is sent. With `replied`, hyper has written the whole response.
    flushed: AtomicBool,
}

impl Progress {
    fn request(&self) {
        self.requested.store(true, Ordering::Relaxed);
        self.replied.store(false, Ordering::Relaxed);
    }

    fn replied(&self) {
        self.flushed.store(false, Ordering::Relaxed);
        self.replied.store(true, Ordering::Relaxed);
    }

    fn has_request(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Returns whether hyper waits for the next request, after a poll that is pending.
    fn is_idle(&self) -> bool {
        self.replied.load(Ordering::Relaxed) && self.flushed.load(Ordering::Relaxed)
    }
}

/// A connection's stream while a request is in progress.
struct Observed<'a, T> {
    stream: &'a mut WriteTimeout<T>,
    /// What was read before, and is read again.
    received: Bytes,
    progress: &'a Progress,
}

impl<T: AsyncRead + Unpin> AsyncRead for Observed<'_, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.received.is_empty() {
            return Pin::new(&mut *this.stream).poll_read(context, buffer);
        }
        let length = this.received.len().min(buffer.remaining());
        buffer.put_slice(&this.received[..length]);
        this.received.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Observed<'_, T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.progress.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut *this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut *this.stream).poll_flush(context);
        let all_sent = matches!(flushed, Poll::Ready(Ok(())));
        this.progress.flushed.store(all_sent, Ordering::Relaxed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper closes the connection, and waits for no further request even if this takes several polls.
        this.progress.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut *this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use hyper::StatusCode;
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::reply::{reject, text};

    /// Serves one end of a stream, with the request's body as the response's.
    fn echo_server(shutdown: &Shutdown) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = duplex(1 << 16);
        let echo = service_fn(|request: Request<Incoming>| async {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok(text(StatusCode::OK, body))
        });
        let served = serve(server, Limits::default(), echo, shutdown.clone());
        (client, tokio::spawn(served))
    }

    fn post(body: &str) -> String {
        let length = body.len();
        format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
    }

    /// Serves one end of a stream, rejects each request without reading its body, and sends the paths of the requests.
    fn rejecting_server() -> (DuplexStream, mpsc::UnboundedReceiver<String>) {
        let (client, server) = duplex(1 << 17);
        let (requested, paths) = mpsc::unbounded_channel();
        let rejecting = service_fn(move |request: Request<Incoming>| {
            let requested = requested.clone();
            async move {
                requested.send(request.uri().path().to_owned()).unwrap();
                Ok(reject(StatusCode::NOT_FOUND, "not found"))
            }
        });
        tokio::spawn(async move {
            serve(server, Limits::default(), rejecting, Shutdown::new()).await;
        });
        (client, paths)
    }

    /// Runs the server until it waits.
    async fn settle() {
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn requests_may_arrive_in_any_two_parts() {
        let requests = post("first") + &post("second") + &post("third");
        for split in 0..=requests.len() {
            let (mut client, server) = echo_server(&Shutdown::new());
            let (one, other) = requests.split_at(split);
            client.write_all(one.as_bytes()).await.unwrap();
            settle().await;
            client.write_all(other.as_bytes()).await.unwrap();
            settle().await;
            client.shutdown().await.unwrap();
            let mut responses = String::new();
            client.read_to_string(&mut responses).await.unwrap();
            let bodies: Vec<&str> = responses
                .split("HTTP/1.1 200 OK")
                .skip(1)
                .filter_map(|response| response.split("\r\n\r\n").nth(1))
                .collect();
            assert_eq!(
                bodies,
                ["first", "second", "third"],
                "split at {split}: {responses}"
            );
            server.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed_after_a_while() {
        let (mut client, server) = echo_server(&Shutdown::new());
        let request = post("one");
        client.write_all(request.as_bytes()).await.unwrap();
        settle().await;
        let start = Instant::now();
        let mut response = Vec::new();
        client.read_to_end(&mut response).await.unwrap();
        assert!(response.ends_with(b"one"));
        assert_eq!(start.elapsed(), Limits::default().idle);
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_arrives_too_slowly_ends_the_connection() {
        let (mut client, server) = echo_server(&Shutdown::new());
        client.write_all(post("one").as_bytes()).await.unwrap();
        settle().await;
        let start = Instant::now();
        let slow = async {
            for byte in post("two").bytes() {
                client.write_all(&[byte]).await.unwrap();
                sleep(Duration::from_secs(10)).await;
            }
        };
        tokio::select! {
            ended = server => ended.unwrap(),
            () = slow => panic!("the head was accepted"),
        }
        assert_eq!(start.elapsed(), Limits::default().idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_take_longer_than_a_connection_may_be_idle() {
        let (mut client, server) = duplex(1 << 16);
        let slow = service_fn(|_request: Request<Incoming>| async {
            sleep(2 * Limits::default().idle).await;
            Ok(text(StatusCode::OK, "late"))
        });
        let server = tokio::spawn(serve(server, Limits::default(), slow, Shutdown::new()));
        client.write_all(post("one").as_bytes()).await.unwrap();
        let start = Instant::now();
        let mut response = Vec::new();
        client.read_to_end(&mut response).await.unwrap();
        assert!(response.ends_with(b"late"));
        // After the response, the connection may be idle as long as any.
        assert_eq!(start.elapsed(), 3 * Limits::default().idle);
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_abandoned_when_its_client_hangs_up_only_if_that_is_detected() {
        for detect_hang_up in [true, false] {
            let limits = Limits {
                detect_hang_up,
                ..Limits::default()
            };
            let (mut client, server) = duplex(1 << 16);
            let slow = service_fn(|_request: Request<Incoming>| async {
                sleep(Duration::from_secs(1)).await;
                Ok(text(StatusCode::OK, "done"))
            });
            let server = tokio::spawn(serve(server, limits, slow, Shutdown::new()));
            client.write_all(post("one").as_bytes()).await.unwrap();
            settle().await;
            let start = Instant::now();
            client.shutdown().await.unwrap();
            server.await.unwrap();
            assert_eq!(start.elapsed().is_zero(), detect_hang_up);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_the_stream_that_it_has_carried() {
        let (mut client, server) = duplex(1 << 16);
        let streaming = service_fn(|_request: Request<Incoming>| async {
            let parts = futures_util::stream::iter(["a", "b"].map(Bytes::from));
            Ok(crate::reply::stream("text/plain", parts))
        });
        let server = tokio::spawn(serve(server, Limits::default(), streaming, Shutdown::new()));
        client.write_all(post("one").as_bytes()).await.unwrap();
        let start = Instant::now();
        let mut response = Vec::new();
        client.read_to_end(&mut response).await.unwrap();
        assert!(response.ends_with(b"1\r\nb\r\n0\r\n\r\n"));
        assert!(start.elapsed().is_zero());
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_rejected_body_is_not_the_next_request() {
        let smuggled = "POST /smuggled HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        let long = smuggled.repeat(1000);
        let with_length = |body: &str| format!("content-length: {}\r\n\r\n", body.len());
        let chunk = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
        for (case, head, now, later) in [
            ("late", with_length(smuggled), "", smuggled),
            ("long", with_length(&long), &*long, ""),
            (
                "chunked",
                "transfer-encoding: chunked\r\n\r\n".to_owned(),
                "",
                &chunk,
            ),
            (
                "after the status 100",
                format!("expect: 100-continue\r\n{}", with_length(smuggled)),
                "",
                smuggled,
            ),
        ] {
            let (mut client, mut paths) = rejecting_server();
            let head = format!("POST /first HTTP/1.1\r\nhost: x\r\n{head}{now}");
            client.write_all(head.as_bytes()).await.unwrap();
            settle().await;
            // The server may have closed the connection.
            let rest = format!("{later}POST /second HTTP/1.1\r\nhost: x\r\n\r\n");
            client.write_all(rest.as_bytes()).await.ok();
            let mut responses = String::new();
            client.read_to_string(&mut responses).await.unwrap();
            assert_eq!(responses.matches("HTTP/1.1").count(), 1, "{case}");
            assert!(responses.contains("connection: close"), "{case}");
            assert_eq!(paths.recv().await.unwrap(), "/first", "{case}");
            assert_eq!(paths.recv().await, None, "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stays_open_if_a_rejected_body_has_arrived() {
        // With the head, and more than the first bytes read.
        for length in [3, FIRST_BYTES + 1000] {
            let (mut client, mut paths) = rejecting_server();
            let first = post(&"{".repeat(length));
            client.write_all(first.as_bytes()).await.unwrap();
            settle().await;
            client.write_all(post("").as_bytes()).await.unwrap();
            settle().await;
            client.shutdown().await.unwrap();
            let mut responses = String::new();
            client.read_to_string(&mut responses).await.unwrap();
            assert_eq!(responses.matches("HTTP/1.1 404").count(), 2, "{length}");
            assert!(!responses.contains("connection: close"), "{length}");
            assert_eq!(paths.recv().await.unwrap(), "/", "{length}");
            assert_eq!(paths.recv().await.unwrap(), "/", "{length}");
            assert_eq!(paths.recv().await, None, "{length}");
        }
    }

    /// A stream whose shutdown waits forever, as that of TLS does for a client that reads nothing.
    struct StuckShutdown(DuplexStream);

    impl AsyncRead for StuckShutdown {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for StuckShutdown {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_being_closed_serves_no_further_request() {
        let (mut client, server) = duplex(1 << 16);
        let service =
            service_fn(|_request: Request<Incoming>| async { Ok(text(StatusCode::OK, "once")) });
        let server = StuckShutdown(server);
        let server = tokio::spawn(serve(server, Limits::default(), service, Shutdown::new()));
        let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        for _ in 0..2 {
            client.write_all(request.as_bytes()).await.unwrap();
            settle().await;
        }
        // All that the server has sent.
        let mut responses = Vec::with_capacity(4096);
        client.read_buf(&mut responses).await.unwrap();
        let responses = String::from_utf8(responses).unwrap();
        assert_eq!(responses.matches("once").count(), 1, "{responses}");
        server.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_at_once_at_the_shutdown() {
        let shutdown = Shutdown::new();
        let (mut client, server) = echo_server(&shutdown);
        client.write_all(post("one").as_bytes()).await.unwrap();
        settle().await;
        let start = Instant::now();
        shutdown.cancel();
        server.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_progress_gets_its_response_at_the_shutdown() {
        let shutdown = Shutdown::new();
        let (mut client, server) = echo_server(&shutdown);
        let request = post("one");
        let (head, body) = request.split_at(request.len() - 3);
        client.write_all(head.as_bytes()).await.unwrap();
        settle().await;
        shutdown.cancel();
        settle().await;
        client.write_all(body.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        client.read_to_end(&mut response).await.unwrap();
        assert!(response.ends_with(b"one"));
        server.await.unwrap();
    }
}
