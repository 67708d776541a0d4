//! Routes gRPC calls.

use std::convert::Infallible;

use futures_util::future::{Ready, ready};
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use hyper::body::Incoming;
use hyper::{Request, Response};
use pushscale_daemon::shutdown::Shutdown;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Response as GrpcResponse, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::messages::{GetMetricsRequest, ScaledObjectRef};
use super::scaler::{ExternalScaler, metric_spec, stream_metric_spec};

/// Maximum bytes of a request.
const MESSAGE_BYTES: usize = 64 << 10;

type ResponseFuture<T> = Ready<Result<GrpcResponse<T>, Status>>;

type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// Responds to a call. A stream ends at the shutdown.
pub(super) async fn call(
    scaler: ExternalScaler,
    shutdown: Shutdown,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    fn grpc<T, U>() -> Grpc<ProstCodec<T, U>>
    where
        T: prost::Message + 'static,
        U: prost::Message + Default + 'static,
    {
        Grpc::new(ProstCodec::default()).max_decoding_message_size(MESSAGE_BYTES)
    }
    let path = request.uri().path().to_owned();
    let method = path.strip_prefix("/externalscaler.ExternalScaler/");
    Ok(match method {
        Some("IsActive") => {
            let service = service_fn(
                move |request: tonic::Request<ScaledObjectRef>| -> ResponseFuture<_> {
                    respond(scaler.is_active(request.get_ref()))
                },
            );
            grpc().unary(service, request).await
        }
        Some("GetMetricSpec") => {
            let service = service_fn(
                move |request: tonic::Request<ScaledObjectRef>| -> ResponseFuture<_> {
                    respond(metric_spec(request.get_ref()))
                },
            );
            grpc().unary(service, request).await
        }
        Some("GetMetrics") => {
            let service = service_fn(
                move |request: tonic::Request<GetMetricsRequest>| -> ResponseFuture<_> {
                    respond(scaler.metrics(request.into_inner()))
                },
            );
            grpc().unary(service, request).await
        }
        Some("StreamIsActive") => {
            let service = service_fn(
                move |request: tonic::Request<ScaledObjectRef>| -> ResponseFuture<Messages<_>> {
                    stream(scaler.stream_is_active(request.into_inner()), &shutdown)
                },
            );
            grpc().server_streaming(service, request).await
        }
        Some("StreamMetricSpec") => {
            let service = service_fn(
                move |request: tonic::Request<ScaledObjectRef>| -> ResponseFuture<Messages<_>> {
                    stream(stream_metric_spec(request.get_ref()), &shutdown)
                },
            );
            grpc().server_streaming(service, request).await
        }
        _ => Status::unimplemented(format!("method not found: {path}")).into_http(),
    })
}

fn respond<T>(result: Result<T, Status>) -> ResponseFuture<T> {
    ready(result.map(GrpcResponse::new))
}

/// Ends the stream without an error at the shutdown: KEDA logs every other end as an error.
fn stream<T>(
    result: Result<impl Stream<Item = Result<T, Status>> + Send + 'static, Status>,
    shutdown: &Shutdown,
) -> ResponseFuture<Messages<T>> {
    let end = shutdown.clone().cancelled_owned();
    respond(result.map(|messages| messages.take_until(end).boxed()))
}
